"""A to-do list, as Bottle's own tutorial has it (https://bottlepy.org/docs/0.13/tutorial_app.html), over sqlite3."""

import sqlite3

import bottle
from bottle import abort, get, post, redirect, request, response, route, static_file, template

DATABASE = "todo.db"


def connection():
    connection = sqlite3.connect(DATABASE)
    connection.execute("CREATE TABLE IF NOT EXISTS todo (id INTEGER PRIMARY KEY, task TEXT NOT NULL, status BOOL NOT NULL)")
    return connection


@route("/")
@route("/todo")
def todo_list():
    with connection() as database:
        rows = database.execute("SELECT id, task FROM todo WHERE status = 1 ORDER BY id").fetchall()
    return template("list", rows=rows)


@get("/new")
def new_form():
    return template("new")


@post("/new")
def new_item():
    task = request.forms.task.strip()
    if not task:
        abort(400, "a task needs words")
    with connection() as database:
        database.execute("INSERT INTO todo (task, status) VALUES (?, 1)", (task,))
    redirect("/todo")


@post("/done/<number:int>")
def done(number):
    with connection() as database:
        database.execute("UPDATE todo SET status = 0 WHERE id = ?", (number,))
    redirect("/todo")


@route("/json/<number:int>")
def as_json(number):
    with connection() as database:
        row = database.execute("SELECT task FROM todo WHERE id = ?", (number,)).fetchone()
    return {"task": row[0]} if row else abort(404, "no such task")


@post("/upload")
def upload():
    file = request.files.file
    return f"{file.raw_filename} {len(file.file.read())}"


@route("/static/<path:path>")
def static(path):
    return static_file(path, root="static")


@route("/cookie")
def cookie():
    count = int(request.get_cookie("count", secret="a secret of the example", default=0)) + 1
    response.set_cookie("count", count, secret="a secret of the example")
    return str(count)


app = bottle.default_app()
