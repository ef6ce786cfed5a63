"""A small guest book, as a Flask tutorial would write it. Nothing here knows of wasgi."""

import hashlib
import io
import os
import time

from flask import Flask, Response, flash, jsonify, redirect, render_template, request, send_file, session, url_for

app = Flask(__name__)
app.secret_key = os.environ.get("SECRET_KEY", "dev")

visits = 0


@app.get("/")
def index():
    return render_template("index.html", name=session.get("name"))


@app.route("/hello", methods=["GET", "POST"])
def hello():
    if request.method == "POST":
        session["name"] = request.form["name"]
        flash(f"Hello, {session['name']}!")
        return redirect(url_for("index"))
    return render_template("hello.html")


@app.get("/logout")
def logout():
    session.pop("name", None)
    return redirect(url_for("index"))


@app.get("/api/books")
def books():
    return jsonify([{"id": 1, "title": "Flatland"}, {"id": 2, "title": "Ficciones"}])


@app.post("/api/echo")
def echo():
    return jsonify(request.get_json())


@app.route("/upload", methods=["GET", "POST"])
def upload():
    if request.method == "GET":
        return render_template("upload.html")
    # A form's file, or the bare body of `curl --data-binary`.
    stream = request.files["file"].stream if request.files else request.stream
    digest, size = hashlib.sha256(), 0
    while piece := stream.read(64 * 1024):
        digest.update(piece)
        size += len(piece)
    return jsonify(size=size, sha256=digest.hexdigest())


@app.get("/download")
def download():
    lines = "\n".join(f"line {number}" for number in range(1000))
    return send_file(io.BytesIO(lines.encode()), "text/plain", as_attachment=True, download_name="lines.txt")


@app.get("/stream")
def stream():
    def lines():
        for number in range(5):
            yield f"line {number}\n"
            time.sleep(0.2)

    return Response(lines(), mimetype="text/plain")


@app.get("/large/<int:mebibytes>")
def large(mebibytes):
    def pieces():
        piece = bytes(range(256)) * 256
        for _ in range(16 * mebibytes):
            yield piece

    return Response(pieces(), mimetype="application/octet-stream")


@app.get("/counter")
def counter():
    global visits
    visits += 1
    return f"{visits}\n"


@app.get("/broken")
def broken():
    raise RuntimeError("this page is broken")


@app.get("/forever")
def forever():
    while True:
        pass
