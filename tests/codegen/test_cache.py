"""Cache: keys, what is built and what is found, eviction, clearing."""

import os
import time
from dataclasses import fields, replace

import pytest

from codegen import cache
from codegen.loading import BuildError
from codegen.cache import Cache, artefact_key, quick_key
from codegen.environment import Toolchain
from tests.codegen.cache_cases import KEY, QUICK, Counted, warned

TOOLCHAIN = Toolchain(("/usr/bin/cc",), "cc 1", ("-O3",), "plain", ".so", ("/usr/include",))


def require_seeing_every_part(make_key):
    base = make_key("source", TOOLCHAIN, ("header",))
    changed = {"source": make_key("source ", TOOLCHAIN, ("header",)), "extra": make_key("source", TOOLCHAIN, ())}
    for field in fields(Toolchain):
        value = getattr(TOOLCHAIN, field.name)
        other = (*value, "x") if isinstance(value, tuple) else f"{value}x"
        changed[field.name] = make_key("source", replace(TOOLCHAIN, **{field.name: other}), ("header",))
    changed["joined"] = make_key("source", replace(TOOLCHAIN, flags=("-O3", "header")), ())
    assert base == make_key("source", TOOLCHAIN, ("header",))
    assert base not in changed.values() and len(set(changed.values())) == len(changed)


def test_every_part_of_the_key_counts(monkeypatch):
    require_seeing_every_part(artefact_key)
    before = artefact_key("source", TOOLCHAIN)
    for name, value in (("GENERATOR", "other"), ("installed_version", lambda name: "0.0")):
        with monkeypatch.context() as patch:
            patch.setattr(cache, name, value)
            assert artefact_key("source", TOOLCHAIN) != before
    assert quick_key("a", "bc") != quick_key("ab", "c") != quick_key("abc")


@pytest.mark.parametrize("name", [field.name for field in fields(Toolchain)])
def test_a_key_blind_to_one_part_is_noticed(name):
    def blind(source, toolchain, extra):
        return artefact_key(source, replace(toolchain, **{name: getattr(TOOLCHAIN, name)}), extra)

    with pytest.raises(AssertionError):
        require_seeing_every_part(blind)


def test_same_key_builds_nothing_and_another_key_builds(tmp_path):
    build = Counted()
    first = Cache(tmp_path).fetch(KEY, QUICK, build, "{}")
    assert Cache(tmp_path).fetch(KEY, quick_key("another text"), build, "{}") == first
    assert Cache(tmp_path).recall(quick_key("another text")) == first and build.calls == 1
    Cache(tmp_path).fetch(quick_key("changed"), QUICK, build, "{}")
    assert build.calls == 2 and Cache(tmp_path).recall(QUICK).key == quick_key("changed")


@pytest.mark.parametrize("text", ["", "x", KEY[:-1], KEY.upper(), KEY + "\n", "../../x", "\xff"])
def test_damaged_pointers_point_nowhere(text, tmp_path):
    Cache(tmp_path).fetch(KEY, QUICK, Counted(), "{}")
    assert Cache(tmp_path).recall(QUICK).key == KEY
    (tmp_path / "quick" / QUICK).write_text(text, encoding="latin-1")
    assert Cache(tmp_path).recall(QUICK) is None
    build = Counted()
    Cache(tmp_path).fetch(KEY, QUICK, build, "{}")
    assert build.calls == 0 and Cache(tmp_path).recall(QUICK).key == KEY


def fill(root, number, limit_bytes=2**30):
    keys = [quick_key(f"source {place}") for place in range(number)]
    for place, key in enumerate(keys):
        Cache(root, limit_bytes).fetch(key, quick_key(f"text {place}"), Counted("x" * 10_000), "{}")
        os.utime(root / "entries" / key, (place + 1, place + 1))
    return keys


def test_least_recently_used_go_first(tmp_path):
    keys = fill(tmp_path, 4)
    assert Cache(tmp_path).recall(quick_key("text 0")).key == keys[0]
    assert [entry.key for entry in Cache(tmp_path).entries()] == [*keys[1:], keys[0]]
    Cache(tmp_path, 32_000).fetch(KEY, QUICK, Counted("x" * 10_000), "{}")
    assert {entry.key for entry in Cache(tmp_path).entries()} == {KEY, keys[0], keys[3]}
    assert Cache(tmp_path).recall(quick_key("text 1")) is None


def test_what_was_just_used_is_not_evicted(tmp_path):
    key = fill(tmp_path, 1)[0]
    os.utime(tmp_path / "entries" / key)
    Cache(tmp_path, 1).fetch(KEY, QUICK, Counted(), "{}")
    assert {entry.key for entry in Cache(tmp_path).entries()} == {KEY, key}


def test_clear_keeps_locks_and_work_in_progress(tmp_path):
    fill(tmp_path, 3)
    for name, age in (("fresh", 0), ("abandoned", 2 * cache.ABANDONED)):
        (tmp_path / "building" / name).mkdir()
        os.utime(tmp_path / "building" / name, (time.time() - age,) * 2)
    assert sum(entry.size for entry in Cache(tmp_path).entries()) > 30_000
    assert Cache(tmp_path).clear() == 3
    assert len(os.listdir(tmp_path / "locks")) == 3
    assert os.listdir(tmp_path / "building") == ["fresh"]
    assert os.listdir(tmp_path / "entries") == [] == os.listdir(tmp_path / "quick")
    assert Cache(tmp_path).entries() == [] and Cache(tmp_path).clear() == 0
    assert Cache(tmp_path / "never made").clear() == 0 and not (tmp_path / "never made").exists()


def test_failed_builds_leave_nothing_and_reach_the_caller(tmp_path):
    def fail(into):
        (into / "half").write_text("")
        raise BuildError("the compiler's words")

    with warned(0), pytest.raises(BuildError, match="the compiler's words"):
        Cache(tmp_path).fetch(KEY, QUICK, fail, "{}")
    assert os.listdir(tmp_path / "building") == [] == os.listdir(tmp_path / "entries")
    assert Cache(tmp_path).fetch(KEY, QUICK, Counted(), "{}").key == KEY


def test_builds_that_name_no_library_are_refused(tmp_path):
    with pytest.raises(ValueError, match="not in its folder"):
        Cache(tmp_path).fetch(KEY, QUICK, lambda into: "nothing.so", "{}")


@pytest.mark.parametrize("key", ["", "../x", KEY[:-1], KEY.upper(), KEY + "\n"])
def test_keys_that_are_none_are_refused(key, tmp_path):
    with pytest.raises(ValueError, match="not a cache key"):
        Cache(tmp_path).recall(key)
    with pytest.raises(ValueError, match="not a cache key"):
        Cache(tmp_path).fetch(key, QUICK, Counted(), "{}")


def test_the_environment_names_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RETROGRAD_CACHE", str(tmp_path / "chosen"))
    assert Cache().folder == tmp_path / "chosen"
    assert Cache(tmp_path / "given").folder == tmp_path / "given"
