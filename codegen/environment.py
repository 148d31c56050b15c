"""Environment: this machine -> Toolchain (compiler, flags, instruction set) and a fingerprint of what builds here.

The fingerprint starts no process and imports neither Cython nor SymPy: it is part of the first cache key, which a
cached kernel is found by. Builds nothing.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shlex
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codegen.folder import default_root, distrust

# Raised by hand when the meaning of generated code changes without its text changing.
GENERATOR = "1"

# -O2 with the vectoriser of -O3: as fast at run time as -O3, and a second less to compile.
# Not -ffast-math: gcc links a start-up file with it that makes the whole process flush denormals.
OPTIMISE = (
    "-O2", "-fno-gcse", "-fno-tree-vrp", "-fvect-cost-model=dynamic", "-fno-inline-functions", "-fno-math-errno", "-fno-trapping-math",
    "-pthread", "-DNDEBUG",
)  # fmt: skip
# Tried in this order: some clangs know -mcpu=native only, and some know neither.
NATIVE = (("-march=native",), ("-mcpu=native",), ())
SUPPORTED = {"Linux": {"x86_64", "aarch64", "arm64"}, "Darwin": {"x86_64", "arm64"}}


@dataclass(frozen=True, slots=True)
class Toolchain:
    """What turns C into an extension module here."""

    compiler: tuple[str, ...]  # absolute path, then the arguments that belong to it
    version: str  # first line of `--version`
    flags: tuple[str, ...]  # for compiling and linking in one call
    isa: str  # what -march=native resolves to: machine, vector level, digest of all predefined macros
    extension_suffix: str
    include: tuple[str, ...]  # folders of Python.h


def find_toolchain() -> Toolchain | None:
    """Find the first C compiler that runs: `$CC` alone where it is set, else Python's own, cc, gcc, clang; or None."""
    for command in _located():
        toolchain = _try_compiler(command, _identity(command[0]))
        if toolchain is not None:
            return toolchain
    return None


def fingerprint() -> str:
    """Name everything that decides what a build gives here, one item a line; runs no process.

    Compilers count by path, size and time of change, the generator by those of its source files.
    """
    compilers = [f"{' '.join(command)} {_identity(command[0])}" for command in _located()]
    versions = [f"{name} {installed_version(name) or 'missing'}" for name in ("numpy", "cython")]
    flags = " ".join(("flags", *OPTIMISE, *_link_flags()))
    return "\n".join([f"python {_abi()}", *versions, *compilers, flags, f"cpu {_cpu()}", f"generator {_generator()}"])


def describe() -> list[tuple[str, str, bool]]:
    """List rows (what, what was found, is it fine) for `retrograd doctor`."""
    rows = [("python", f"{_python_version()} ({_abi()})", sys.version_info >= (3, 11))]
    for name in ("numpy", "sympy", "scipy", "cython"):
        version = installed_version(name)
        rows.append((name, version or "missing: install it with pip", version is not None))
    toolchain = find_toolchain()
    if toolchain is None:
        advice = "none that runs: kernels are interpreted; install gcc or clang, or set CC"
        rows.append(("compiler", advice, False))
    else:
        rows.append(("compiler", f"{toolchain.version} at {' '.join(toolchain.compiler)}", True))
        rows.append(("flags", " ".join(toolchain.flags), True))
        rows.append(("instruction set", toolchain.isa, True))
    header = Path(_include()[0]) / "Python.h"
    missing = f"{header} is missing: install python3-dev (Debian) or python3-devel (Fedora)"
    rows.append(("python headers", str(header.parent) if header.exists() else missing, header.exists()))
    return [*rows, _cache_row(), _platform_row()]


def _cache_row() -> tuple[str, str, bool]:
    root = default_root()
    if root is None:
        return "cache folder", "none: no home folder; set RETROGRAD_CACHE", False
    reason = distrust(root)
    above = next(folder for folder in (root, *root.parents) if os.path.lexists(folder))
    if reason is None and not os.access(above, os.W_OK | os.X_OK):
        reason = f"{above} cannot be written"
    return "cache folder", f"{root}: {reason}" if reason else str(root), reason is None


def _platform_row() -> tuple[str, str, bool]:
    system, machine = os.uname().sysname, os.uname().machine
    fine = machine in SUPPORTED.get(system, set())
    return "platform", f"{system} {machine}" + ("" if fine else ": untested; Linux and macOS CPUs are supported"), fine


def _located() -> list[tuple[str, ...]]:
    """List the compiler commands that exist, most wanted first, each with an absolute path."""
    chosen = os.environ.get("CC")
    wanted = [chosen] if chosen else [sysconfig.get_config_var("CC") or "cc", "cc", "gcc", "clang"]
    found: dict[tuple[str, ...], None] = {}
    for text in wanted:
        name, *arguments = shlex.split(text) or [""]
        if path := _which(name):
            found[(path, *arguments)] = None
    return list(found)


def _which(name: str) -> str | None:
    # shutil.which costs 5 ms to import, and looks in the working folder where PATH has an empty entry.
    folders = [""] if os.path.isabs(name) else [folder for folder in os.get_exec_path() if os.path.isabs(folder)]
    paths = [os.path.join(folder, name) for folder in folders if name]
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), None)


def _identity(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return "gone"
    return f"{status.st_size} {status.st_mtime_ns}"


# The identity is an argument so that a compiler which is replaced while the process runs is asked again.
@functools.lru_cache(maxsize=8)
def _try_compiler(command: tuple[str, ...], identity: str) -> Toolchain | None:
    version = _answer((*command, "--version"))
    if not version:
        return None
    for native in NATIVE:
        flags = (*OPTIMISE, *native, *_link_flags())
        macros = _answer((*command, *OPTIMISE, *native, "-dM", "-E", "-x", "c", os.devnull))
        if macros:
            suffix = sysconfig.get_config_var("EXT_SUFFIX") or ".so"
            return Toolchain(command, version.splitlines()[0], flags, _name_isa(macros), suffix, _include())
    return None


def _answer(command: tuple[str, ...]) -> str | None:
    """Run a command and give what it prints; None where it cannot be run, fails, or takes a minute."""
    import subprocess

    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def _name_isa(macros: str) -> str:
    lines = sorted(macros.splitlines())
    names = {line.split()[1] for line in lines if line.startswith("#define ")}
    levels = {"avx512": {"__AVX512F__"}, "avx2": {"__AVX2__", "__FMA__"}, "neon": {"__ARM_NEON"}, "plain": set()}
    level = next(level for level, needed in levels.items() if needed <= names)
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
    return f"{os.uname().machine} {level} {digest}"


def _link_flags() -> tuple[str, ...]:
    if sys.platform == "darwin":
        # Python's own flags name both architectures in a universal build, which excludes -march=native.
        return ("-fPIC", "-arch", os.uname().machine, "-bundle", "-undefined", "dynamic_lookup")
    return ("-fPIC", "-shared")


def _include() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(dict.fromkeys((paths["include"], paths["platinclude"])))


def _python_version() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _abi() -> str:
    return f"{sys.implementation.cache_tag} {sysconfig.get_config_var('EXT_SUFFIX')} {sys.hexversion:x}"


def installed_version(name: str) -> str | None:
    """Find the version of an installed distribution, without importing it; None where it is missing."""
    for folder in sys.path:
        for kind in (".dist-info", ".egg-info"):
            for entry in _listing(folder or "."):
                if entry.lower().startswith(f"{name}-") and entry.endswith(kind):
                    return entry[len(name) + 1 : -len(kind)].split("-")[0]
    # Slower by 50 ms, and needed only for unusual installations.
    import importlib.metadata

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _listing(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _cpu() -> str:
    """Name model and instruction sets of the first processor."""
    wanted = ("vendor_id", "cpu family", "model", "flags", "Features", "CPU implementer", "CPU part", "CPU variant")
    try:
        # The first processor fits; the whole file takes milliseconds on machines with hundreds.
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            first = file.read(8192).split("\n\n")[0]
        pairs = [line.split(":", 1) for line in first.splitlines() if ":" in line]
        return " ".join(value.strip() for name, value in pairs if name.strip() in wanted)
    except OSError:
        return f"{os.uname().machine} {_ask_sysctl(b'machdep.cpu.brand_string')}"


def _ask_sysctl(name: bytes) -> str:
    import ctypes

    size = ctypes.c_size_t(256)
    answer = ctypes.create_string_buffer(256)
    try:
        failed = ctypes.CDLL(None).sysctlbyname(name, answer, ctypes.byref(size), None, 0)
    except (AttributeError, OSError):
        return "unknown"
    return "unknown" if failed else answer.value.decode(errors="replace")


def _generator() -> str:
    digest = hashlib.sha256()
    for path in sorted(_sources()):
        digest.update(f"{path} {_identity(path)}\n".encode(errors="surrogateescape"))
    return f"{GENERATOR} {digest.hexdigest()[:16]}"


def _sources() -> Iterator[str]:
    here = Path(__file__).parent
    for top in (here, here.parent / "derive"):
        for folder, folders, files in os.walk(top):
            folders[:] = [name for name in folders if name != "__pycache__"]
            yield from (os.path.join(folder, name) for name in files)
