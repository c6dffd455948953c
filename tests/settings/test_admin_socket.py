"""Where the admin socket is."""

import os
from pathlib import Path

import pytest

from xds_server.settings import admin_socket
from xds_server.settings.admin_socket import private_directory, socket_of, sockets_to_try


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"RUNTIME_DIRECTORY": "/run/a:/run/b", "XDG_RUNTIME_DIR": "/run/user/7"}, "/run/a/admin.sock"),
        ({"XDG_RUNTIME_DIR": "/run/user/7"}, "/run/user/7/xds-server-18001.sock"),
        ({"RUNTIME_DIRECTORY": "", "XDG_RUNTIME_DIR": ""}, "/tmp/xds-server-7/18001.sock"),  # noqa: S108
        ({}, "/tmp/xds-server-7/18001.sock"),  # noqa: S108
    ],
)
def test_where_the_server_has_it(environ, path):
    assert socket_of(18001, environ, 7) == Path(path)
    assert sockets_to_try(18001, environ, 7)[0] == Path(path)


def test_a_command_looks_where_the_unit_has_it():
    assert sockets_to_try(18001, {}, 0)[-1] == Path("/run/xds-server/admin.sock")


@pytest.fixture
def tmp(tmp_path, monkeypatch):
    monkeypatch.setattr(admin_socket, "_TEMPORARY", tmp_path)
    return tmp_path


def test_the_directory_is_made_for_us_alone(tmp):
    assert private_directory(tmp / "x", os.getuid()) == ""
    assert (tmp / "x").stat().st_mode & 0o777 == 0o700
    assert private_directory(tmp / "x", os.getuid()) == ""


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.mkdir(0o755),
        lambda path: path.write_text("x"),
        lambda path: path.symlink_to("/"),
        lambda path: path.symlink_to("nowhere"),
    ],
)
def test_what_others_may_have_made_is_not_used(tmp, make):
    make(tmp / "x")
    assert str(tmp / "x") in private_directory(tmp / "x", os.getuid())


def test_a_directory_of_somebody_else_is_not_used(tmp):
    (tmp / "x").mkdir(0o700)
    assert "this user's alone" in private_directory(tmp / "x", os.getuid() + 1)
