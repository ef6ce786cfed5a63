import io

from flask import Blueprint, abort, flash, g, redirect, render_template, request, send_file, url_for

from .auth import login_required
from .models import Note, db

bp = Blueprint("pages", __name__)


@bp.route("/", methods=["GET", "POST"])
@login_required
def index():
    if request.method == "POST":
        file = request.files.get("file")
        note = Note(user=g.user, text=request.form["text"])
        if file and file.filename:
            note.attachment, note.filename = file.read(), file.filename
        db.session.add(note)
        db.session.commit()
        flash("Saved.")
        return redirect(url_for("pages.index"))
    return render_template("index.html", notes=g.user.notes)


@bp.route("/notes/<int:number>/file")
@login_required
def attachment(number):
    note = db.session.get(Note, number)
    if note is None or note.user != g.user or note.attachment is None:
        abort(404)
    return send_file(io.BytesIO(note.attachment), download_name=note.filename, as_attachment=True)


@bp.route("/notes/<int:number>/delete", methods=["POST"])
@login_required
def delete(number):
    note = db.session.get(Note, number)
    if note is None or note.user != g.user:
        abort(404)
    db.session.delete(note)
    db.session.commit()
    return redirect(url_for("pages.index"))
