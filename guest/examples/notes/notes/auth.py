import functools

from flask import Blueprint, flash, g, redirect, render_template, request, session, url_for

from .models import User, db

bp = Blueprint("auth", __name__)


@bp.before_app_request
def load_user():
    g.user = db.session.get(User, session["user"]) if "user" in session else None


def login_required(view):
    @functools.wraps(view)
    def wrapped(*args, **kwargs):
        return view(*args, **kwargs) if g.user else redirect(url_for("auth.login"))

    return wrapped


@bp.route("/register", methods=["GET", "POST"])
def register():
    if request.method == "POST":
        name = request.form["name"]
        if db.session.query(User).filter_by(name=name).first():
            flash(f"{name} is taken.")
        else:
            user = User(name=name)
            user.set_password(request.form["password"])
            db.session.add(user)
            db.session.commit()
            return redirect(url_for("auth.login"))
    return render_template("form.html", title="Register")


@bp.route("/login", methods=["GET", "POST"])
def login():
    if request.method == "POST":
        user = db.session.query(User).filter_by(name=request.form["name"]).first()
        if user and user.check_password(request.form["password"]):
            session.clear()
            session["user"] = user.id
            return redirect(url_for("pages.index"))
        flash("Wrong name or password.")
    return render_template("form.html", title="Log in")


@bp.route("/logout", methods=["POST"])
def logout():
    session.clear()
    return redirect(url_for("auth.login"))
