import asyncio

from flask import Blueprint, jsonify

from .models import Note, User, db

bp = Blueprint("api", __name__)


async def count(model):
    await asyncio.sleep(0.001)
    return db.session.query(model).count()


@bp.route("/counts")
async def counts():
    users, notes = await asyncio.gather(count(User), count(Note))
    return jsonify(users=users, notes=notes)


@bp.cli.command("purge")
def purge():
    """Deletes all notes: `flask api purge`."""
    print(f"{db.session.query(Note).delete()} notes deleted")
    db.session.commit()
