"""An existing cluster that somebody named for the tests: no audit log, no restarts."""

import json
from pathlib import Path

from tests.servers.kubectl import Kubectl


class GivenKubernetes:
    """The cluster of a kubeconfig's current context, which must grant administration."""

    def __init__(self, kubectl: Path, kubeconfig: Path, home: Path) -> None:
        if not kubeconfig.is_file():
            raise FileNotFoundError(f"the kubeconfig given for the tests, {kubeconfig}, is no file")
        self.kubeconfig = kubeconfig.absolute()
        self.kubectl = Kubectl(kubectl, self.kubeconfig, home)
        view = json.loads(self.kubectl("config", "view", "--minify", "--output", "json"))
        self.url: str = view["clusters"][0]["cluster"]["server"]
        versions = json.loads(self.kubectl("version", "--output", "json"))
        self.version: str = versions["serverVersion"]["gitVersion"]
        self.description = f"{self.version}, an existing cluster at {self.url}"
