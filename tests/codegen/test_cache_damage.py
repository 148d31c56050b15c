"""Cache: nothing damaged, and nothing that others may have touched, is loaded."""

import random
import shutil

import pytest

from codegen import artefact
from codegen.cache import Cache
from tests.codegen.cache_cases import KEY, QUICK, Counted, warned


def damage_by_truncation(content, share):
    return content[: len(content) * share // 100]


def damage_by_flipping(content, seed):
    generator = random.Random(seed)
    place = generator.randrange(len(content))
    return content[:place] + bytes([content[place] ^ generator.randrange(1, 256)]) + content[place + 1 :]


DAMAGE = [(damage_by_truncation, share) for share in (0, 1, 10, 25, 50, 75, 90, 99)]
DAMAGE += [(damage_by_flipping, seed) for seed in range(25)]


def count_missed(root):
    """How many ways of damaging one file of the entry lead to anything but a right entry, built anew."""
    missed = 0
    for name in ("library.so", "signature.json", "digests.json"):
        for damage, amount in DAMAGE:
            path = root / "entries" / KEY / name
            Cache(root).fetch(KEY, QUICK, Counted(), '{"n": 1}')
            path.write_bytes(damage(path.read_bytes(), amount))
            build = Counted()
            absent = Cache(root).recall(QUICK) is None
            found = Cache(root).fetch(KEY, QUICK, build, '{"n": 1}')
            right = found.library.read_bytes() == b"library" and found.signature == '{"n": 1}'
            missed += not (absent and right and build.calls == 1)
    return missed


def test_damaged_entries_are_built_again(tmp_path):
    with warned(0):
        assert count_missed(tmp_path) == 0


def test_without_digests_damage_would_be_missed(tmp_path, monkeypatch):
    class Blind:
        hexdigest = staticmethod(lambda: "0" * 64)

    monkeypatch.setattr(artefact.hashlib, "sha256", lambda content=b"": Blind)
    assert count_missed(tmp_path) > 20


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entry: (entry / "library.so").unlink(),
        lambda entry: (entry / "digests.json").write_text("[]"),
        lambda entry: (entry / "digests.json").write_text('{"key": 1, "files": {}, "library": {}}'),
        lambda entry: (entry / "stranger").write_text(""),
        lambda entry: (entry / "library.so").chmod(0o620),
        lambda entry: entry.chmod(0o770),
        lambda entry: ((entry / "library.so").rename(entry.parent / "away"), link(entry, "library.so", "../away")),
        lambda entry: (shutil.rmtree(entry), entry.write_text("")),
        lambda entry: (entry.rename(entry.parent / "away"), entry.symlink_to("away")),
    ],
)
def test_entries_that_others_may_have_touched_are_built_again(spoil, tmp_path):
    Cache(tmp_path).fetch(KEY, QUICK, Counted(), "{}")
    spoil(tmp_path / "entries" / KEY)
    build = Counted()
    with warned(0):
        assert Cache(tmp_path).recall(QUICK) is None
        found = Cache(tmp_path).fetch(KEY, QUICK, build, "{}")
    assert build.calls == 1 and found.library.read_text() == "library"


def link(entry, name, target):
    (entry / name).symlink_to(target)
