"""Look, an image store over HTTP, as Falcon's own tutorial builds it (https://falcon.readthedocs.io/en/stable/user/tutorial.html)."""

import io
import mimetypes
import os
import re
import uuid

import falcon

STORE = "/data/images" if os.path.isdir("/data") else "/tmp"
ALLOWED = ("image/gif", "image/jpeg", "image/png")


def validate_image_type(req, resp, resource, params):
    if req.content_type not in ALLOWED:
        raise falcon.HTTPBadRequest(title="Bad request", description="Image type not allowed. Must be PNG, JPEG, or GIF")


class ImageStore:
    _CHUNK_SIZE_BYTES = 4096
    _IMAGE_NAME_PATTERN = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\\.[a-z]{2,4}$")

    def __init__(self, storage_path):
        self._storage_path = storage_path

    def save(self, image_stream, image_content_type):
        os.makedirs(self._storage_path, exist_ok=True)
        ext = mimetypes.guess_extension(image_content_type)
        name = f"{uuid.uuid4()}{ext}"
        with io.open(os.path.join(self._storage_path, name), "wb") as image_file:
            while chunk := image_stream.read(self._CHUNK_SIZE_BYTES):
                image_file.write(chunk)
        return name

    def open(self, name):
        if not self._IMAGE_NAME_PATTERN.match(name):
            raise IOError("File not found")
        path = os.path.join(self._storage_path, name)
        return io.open(path, "rb"), os.path.getsize(path)

    def list(self, max_size=-1):
        names = sorted(os.listdir(self._storage_path)) if os.path.isdir(self._storage_path) else []
        return [name for name in names if max_size < 0 or os.path.getsize(os.path.join(self._storage_path, name)) <= max_size]


class Collection:
    def __init__(self, image_store):
        self._image_store = image_store

    def on_get(self, req, resp):
        max_size = req.get_param_as_int("maxsize", min_value=1, default=-1)
        resp.media = {"images": [{"href": "/images/" + name} for name in self._image_store.list(max_size)]}

    @falcon.before(validate_image_type)
    def on_post(self, req, resp):
        name = self._image_store.save(req.bounded_stream, req.content_type)
        resp.status = falcon.HTTP_201
        resp.location = "/images/" + name


class Item:
    def __init__(self, image_store):
        self._image_store = image_store

    def on_get(self, req, resp, name):
        resp.content_type = mimetypes.guess_type(name)[0]
        try:
            resp.stream, resp.content_length = self._image_store.open(name)
        except IOError:
            raise falcon.HTTPNotFound()


store = ImageStore(STORE)
app = application = falcon.App()
app.add_route("/images", Collection(store))
app.add_route("/images/{name}", Item(store))
