"""WsgiDAV, a WebDAV server, whole and unedited, over the folder that it is given."""

import os

from wsgidav.wsgidav_app import WsgiDAVApp

os.makedirs("/data/files", exist_ok=True)

app = WsgiDAVApp(
    {
        "provider_mapping": {"/": "/data/files"},
        "simple_dc": {"user_mapping": {"*": True}},
        "verbose": 1,
        "logging": {"enable_loggers": []},
        "lock_storage": {"class": "wsgidav.lock_man.lock_storage.LockStorageShelve", "kwargs": {"storage_path": "/data/locks"}},
        "property_manager": True,
    }
)
