"""Cache folder: where it cannot be used or trusted, a private one serves, with one warning."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from codegen import cache, folder
from codegen.artefact import Artefact
from codegen.loading import BuildError
from codegen.cache import Cache
from tests.codegen.cache_cases import KEY, QUICK, Counted, start, warned


@pytest.fixture(autouse=True)
def _fresh_process_state(monkeypatch):
    """Each test is a process that has not warned yet and has no private folder."""
    monkeypatch.setattr(folder, "_warned", set())
    monkeypatch.setattr(folder, "_private", {})
    yield
    for path in folder._private.values():
        shutil.rmtree(path, ignore_errors=True)


def require_private_build(make_cache, build):
    """The right result, one warning however many caches ask, and the second time nothing is built."""
    with warned(1) as caught:
        for _ in range(2):
            found = make_cache().fetch(KEY, QUICK, build, "{}")
            assert isinstance(found, Artefact) and found.library.read_text() == "library"
        assert make_cache().recall(QUICK) == found
    assert found.folder.is_relative_to(folder.known_private_root())
    return str(caught[0].message)


def test_folder_below_a_file_is_replaced(tmp_path):
    (tmp_path / "file").write_text("")
    build = Counted()
    message = require_private_build(lambda: Cache(tmp_path / "file" / "root"), build)
    assert str(tmp_path / "file" / "root") in message and "Not a directory" in message and build.calls == 1


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_folder_that_cannot_be_made_is_replaced(number, tmp_path, monkeypatch):
    make = os.makedirs

    def refuse(path, *arguments, **options):
        if Path(path).is_relative_to(tmp_path):
            raise OSError(number, os.strerror(number), path)
        make(path, *arguments, **options)

    monkeypatch.setattr(os, "makedirs", refuse)
    build = Counted()
    assert os.strerror(number) in require_private_build(lambda: Cache(tmp_path / "root"), build)
    assert build.calls == 1 and os.listdir(tmp_path) == []


def test_disk_that_fills_up_is_replaced(tmp_path):
    build = Counted()

    def build_on_a_full_disk(into):
        if into.is_relative_to(tmp_path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return build(into)

    assert "No space left" in require_private_build(lambda: Cache(tmp_path), build_on_a_full_disk)
    assert build.calls == 1 and os.listdir(tmp_path / "building") == [] == os.listdir(tmp_path / "entries")


def test_no_home_is_replaced(monkeypatch):
    for name in ("RETROGRAD_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "")
    assert "no home folder" in require_private_build(Cache, Counted())


def test_no_temporary_folder_either_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")

    def refuse():
        raise FileNotFoundError("no usable temporary folder")

    monkeypatch.setattr(cache, "private_root", refuse)
    with pytest.raises(BuildError, match="not even in a temporary folder.*TMPDIR"):
        Cache(tmp_path / "file" / "root").fetch(KEY, QUICK, Counted(), "{}")


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_folder_writable_by_others_is_refused(mode, tmp_path):
    Cache(tmp_path / "root").fetch(KEY, QUICK, Counted("planted"), "{}")
    (tmp_path / "root").chmod(mode)
    assert Cache(tmp_path / "root").recall(QUICK) is None
    assert Cache(tmp_path / "root").entries() == [] and Cache(tmp_path / "root").clear() == 0
    assert "others can write" in require_private_build(lambda: Cache(tmp_path / "root"), Counted())


def test_link_is_refused(tmp_path):
    Cache(tmp_path / "real").fetch(KEY, QUICK, Counted("planted"), "{}")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert Cache(tmp_path / "link").recall(QUICK) is None
    assert "symbolic link" in require_private_build(lambda: Cache(tmp_path / "link"), Counted())


def test_another_users_folder_is_refused(tmp_path, monkeypatch):
    Cache(tmp_path).fetch(KEY, QUICK, Counted("planted"), "{}")
    planted = os.lstat(tmp_path).st_uid
    monkeypatch.setattr(folder.os, "geteuid", lambda: planted + 1)
    assert Cache(tmp_path).recall(QUICK) is None
    assert folder.distrust(tmp_path) == f"it belongs to another user (id {planted})"
    with pytest.raises(PermissionError, match="another user"):
        folder.prepare(tmp_path, "entries")


def test_without_the_check_planted_libraries_are_found(tmp_path, monkeypatch):
    Cache(tmp_path / "root").fetch(KEY, QUICK, Counted("planted"), "{}")
    (tmp_path / "root").chmod(0o777)
    monkeypatch.setattr(cache, "distrust", lambda root: None)
    assert Cache(tmp_path / "root").recall(QUICK).library.read_text() == "planted"


def test_folders_and_files_are_for_this_user_alone(tmp_path):
    before = os.umask(0)
    try:
        found = Cache(tmp_path / "root").fetch(KEY, QUICK, Counted(), "{}")
    finally:
        os.umask(before)
    for path in [tmp_path / "root", *(tmp_path / "root").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
    assert found.folder == tmp_path / "root" / "entries" / KEY


def test_private_folder_is_removed_at_exit(tmp_path):
    program = (
        "import os, sys, warnings; warnings.simplefilter('ignore')\n"
        "from codegen.folder import private_root\n"
        "print(private_root()); sys.stdout.flush()\n"
        "if os.fork() == 0: sys.exit()\n"
        "os.wait(); assert private_root().exists()"
    )
    process = start(program)
    path = Path(process.communicate()[0].splitlines()[0])
    assert process.returncode == 0 and not path.exists()
