"""Find the programs of a Kubernetes server, or build them once from their Go modules."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tests.servers.cache import cache_directory, only_maker
from tests.servers.go_build import GoBuild

Progress = Callable[[str], None]

_MODULE = Path(__file__).with_name("binaries")
_CONTROLLER_MANAGER = "kube-controller-manager"
_ALLOWED_MINOR_SKEW = 1  # what Kubernetes supports between kubectl and the apiserver


class BinariesMissingError(Exception):
    """No Kubernetes binaries and no way to build them; the message says what would help."""


@dataclass(frozen=True)
class KubernetesBinaries:
    """Programs of one Kubernetes version."""

    kube_apiserver: Path
    etcd: Path
    kubectl: Path
    source: str
    """Where they are from, for the report of a test run."""
    version: str
    kube_controller_manager: Path | None = None
    """None where only some tests would need it and it is not there."""


def find_or_build(progress: Progress) -> KubernetesBinaries:
    """Assets directory, PATH, cache, build: the first that is there."""
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        return _from_assets(Path(assets), progress)
    apiserver, etcd = shutil.which("kube-apiserver"), shutil.which("etcd")
    if apiserver and etcd:
        manager = shutil.which(_CONTROLLER_MANAGER)
        found = _complete(Path(apiserver), Path(etcd), None, "from PATH", progress)
        return replace(found, kube_controller_manager=Path(manager) if manager else None)
    return _complete_built(_find_or_build_cached(progress))


def with_controller_manager(binaries: KubernetesBinaries, progress: Progress) -> KubernetesBinaries:
    """The same programs and kube-controller-manager, which is built where it was not there."""
    if binaries.kube_controller_manager is not None:
        return binaries
    built = _find_or_build_cached(progress) / _CONTROLLER_MANAGER
    return replace(binaries, kube_controller_manager=built)


def find_kubectl(progress: Progress) -> Path:
    """Any kubectl, for a cluster that somebody else runs."""
    if on_path := shutil.which("kubectl"):
        return Path(on_path)
    return _find_or_build_cached(progress) / "kubectl"


def pinned_version() -> str:
    """The Kubernetes version in go.mod, such as v1.36.3."""
    found = re.search(r"^\s*k8s\.io/kubernetes (v\S+)", _go_mod(), re.MULTILINE)
    if found is None:
        raise BinariesMissingError(f"{_MODULE / 'go.mod'} names no version of k8s.io/kubernetes")
    return found[1]


def cached_binaries_directory() -> Path:
    """Where the build of exactly this go.mod is, or would be."""
    digest = hashlib.sha256(_go_mod().encode()).hexdigest()[:12]
    return cache_directory() / "kubernetes" / f"{pinned_version()}-{digest}"


def _go_mod() -> str:
    return (_MODULE / "go.mod").read_text()


def _from_assets(assets: Path, progress: Progress) -> KubernetesBinaries:
    apiserver, etcd, kubectl = (assets / name for name in ("kube-apiserver", "etcd", "kubectl"))
    for binary in (apiserver, etcd):
        if not binary.is_file():
            raise BinariesMissingError(f"KUBEBUILDER_ASSETS is {assets}, but {binary} is not there")
    own_kubectl = kubectl if kubectl.is_file() else None
    manager = assets / _CONTROLLER_MANAGER
    found = _complete(apiserver, etcd, own_kubectl, "from KUBEBUILDER_ASSETS", progress)
    return replace(found, kube_controller_manager=manager if manager.is_file() else None)


def _complete(
    apiserver: Path, etcd: Path, kubectl: Path | None, source: str, progress: Progress
) -> KubernetesBinaries:
    version = _version_of(apiserver, "--version")
    kubectl = kubectl or _kubectl_on_path(version) or _find_or_build_cached(progress) / "kubectl"
    return KubernetesBinaries(apiserver, etcd, kubectl, source, version)


def _complete_built(directory: Path) -> KubernetesBinaries:
    version = pinned_version()
    return KubernetesBinaries(
        kube_apiserver=directory / "kube-apiserver",
        etcd=directory / "etcd",
        kubectl=_kubectl_on_path(version) or directory / "kubectl",
        source="built from its Go module",
        version=version,
        kube_controller_manager=directory / _CONTROLLER_MANAGER,
    )


def _kubectl_on_path(apiserver_version: str) -> Path | None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        return None
    skew = _minor(_version_of(Path(kubectl), "version", "--client")) - _minor(apiserver_version)
    return Path(kubectl) if abs(skew) <= _ALLOWED_MINOR_SKEW else None


def _version_of(program: Path, *arguments: str) -> str:
    answer = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    found = re.search(r"v\d+\.\d+\S*", answer.stdout)
    if found is None:
        raise BinariesMissingError(f"{program} does not tell its version: {answer.stdout!r}")
    return found[0]


def _minor(version: str) -> int:
    return int(version.split(".")[1])


def _find_or_build_cached(progress: Progress) -> Path:
    directory = cached_binaries_directory()
    if directory.is_dir():
        return directory

    def waiting(seconds: float) -> None:
        progress(f"[{seconds:4.0f} s] another process builds Kubernetes: waiting for it")

    with only_maker(directory, waiting) as to_make:
        if to_make:
            _build(directory, progress)
    return directory


def _build(directory: Path, progress: Progress) -> None:
    version = pinned_version()
    major, minor, _ = version.removeprefix("v").split(".", 2)
    stamp = "k8s.io/component-base/version"
    build = GoBuild(
        module=_MODULE,
        linker_flags=(
            f"-s -w -X {stamp}.gitVersion={version}"
            f" -X {stamp}.gitMajor={major} -X {stamp}.gitMinor={minor}"
        ),
        missing_go=(
            "Tests and demo need a Kubernetes API server and found none. Either install Go 1.21 or "
            "newer (kube-apiserver and etcd are then built once, some minutes), or set "
            "KUBEBUILDER_ASSETS to a directory with kube-apiserver and etcd, or name an existing "
            "cluster: pytest --kubeconfig FILE, or GDSO_TEST_KUBECONFIG."
        ),
    )
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".building-") as scratch:
        built = Path(scratch) / "bin"
        build.run(built, f"Kubernetes {version}", progress)
        (built / "server").rename(built / "etcd")
        built.rename(directory)
