"""Notes, as Flask's documentation would build them: an application factory, blueprints, Flask-SQLAlchemy, password hashes, async views."""

import os

from flask import Flask

from . import api, auth, pages
from .models import db


def create_app():
    app = Flask(__name__, instance_relative_config=True)
    app.config.from_mapping(
        SECRET_KEY=os.environ.get("SECRET_KEY", "dev"),
        SQLALCHEMY_DATABASE_URI="sqlite:///notes.sqlite",
    )
    db.init_app(app)
    app.register_blueprint(auth.bp)
    app.register_blueprint(pages.bp)
    app.register_blueprint(api.bp, url_prefix="/api")
    with app.app_context():
        db.create_all()
    return app
