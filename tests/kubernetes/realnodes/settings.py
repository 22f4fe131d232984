"""What the programs of a node are told: its containerd (with runc and the plug-ins of Debian), and its kubelet.

Times are generous everywhere: the machine may be busy, and no test waits for speed.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from debian import libraries
from realnodes.network import Network
from upcall.substrate.kubernetes.names import ZONE

PAUSE: Final = "lab.invalid/pause:1"
"""What holds a pod's namespaces."""
DOMAIN: Final = "cluster.local"
PODS_MAX: Final = 30


@dataclass(frozen=True)
class Settings:
    """Of one node."""

    folder: Path
    network: Network
    number: int
    kubernetes: Path
    """Folder of its programs."""
    debian: Path
    """What stands for ``/`` there."""
    kubeconfig: Path
    authority: Path
    """Whose clients the kubelet answers."""
    snapshotter: str

    @property
    def name(self) -> str:
        return f"node-{self.number}"

    @property
    def socket(self) -> Path:
        """Under ``/run`` of the node: paths of sockets are short."""
        return Path("/run/containerd.sock")

    @property
    def environment(self) -> dict[str, str]:
        bin_folders = (f"{self.debian}/usr/{name}" for name in ("sbin", "bin"))
        return {
            "PATH": ":".join((*bin_folders, "/usr/sbin:/usr/bin:/sbin:/bin")),
            "LD_LIBRARY_PATH": ":".join(libraries(self.debian)),
        }

    def write(self) -> None:
        (self.folder / "cni").mkdir(parents=True)
        (self.folder / "cni" / "pods.conflist").write_text(json.dumps(self._plug_ins()))
        (self.folder / "containerd.toml").write_text(self._containerd())
        (self.folder / "kubelet.yaml").write_text(yaml.safe_dump(self._kubelet()))
        kubelet = [
            str(self.kubernetes / "kubelet"), f"--config={self.folder / 'kubelet.yaml'}",
            f"--kubeconfig={self.kubeconfig}", f"--root-dir={self.folder / 'kubelet'}",
            f"--hostname-override={self.name}", f"--node-ip={self.network.address(self.number)}",
            f"--node-labels={ZONE}=zone-of-{self.name}",
        ]  # fmt: skip
        containerd = [f"{self.debian}/usr/bin/containerd", "-c", str(self.folder / "containerd.toml")]
        programs = {
            "containerd": {"command": containerd, "environment": self.environment},
            "kubelet": {"command": kubelet, "environment": self.environment},
            "logind": {"command": [sys.executable, "-m", "realnodes.logind"], "environment": {}},
        }
        (self.folder / "node.json").write_text(json.dumps(programs))

    def ctr(self, *words: str) -> list[str]:
        """To be run inside."""
        return [f"{self.debian}/usr/bin/ctr", "-a", str(self.socket), "-n", "k8s.io", *words]

    def _containerd(self) -> str:
        return f"""\
version = 2
root = "{self.folder / "containerd"}"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
  address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  disable_apparmor = true
  # Who may not lower it (a machine without CAP_SYS_RESOURCE) can run pods all the same.
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{self.snapshotter}"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        BinaryName = "{self.debian}/usr/sbin/runc"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{self.debian}/usr/lib/cni"
    conf_dir = "{self.folder / "cni"}"
"""

    def _plug_ins(self) -> dict[str, object]:
        addresses = {
            "type": "host-local", "dataDir": "/run/addresses", "routes": [{"dst": "0.0.0.0/0"}],
            "ranges": [[{"subnet": self.network.pods(self.number)}]],
        }  # fmt: skip
        bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "ipMasq": False, "ipam": addresses}
        return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}

    def _kubelet(self) -> dict[str, object]:
        nothing = dict.fromkeys(("memory.available", "nodefs.available", "imagefs.available"), "0%")
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "enforceNodeAllocatable": [],
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "podLogsDir": str(self.folder / "logs"),
            "address": self.network.address(self.number),
            "healthzPort": 0,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": False},
                "x509": {"clientCAFile": str(self.authority)},
            },
            "authorization": {"mode": "AlwaysAllow"},
            "clusterDNS": [self.network.host],
            "clusterDomain": DOMAIN,
            "resolvConf": "",
            "failSwapOn": False,
            # The disk is this machine's, and how full that is nobody's business here.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": nothing,
            "evictionPressureTransitionPeriod": "5s",
            "nodeStatusUpdateFrequency": "10s",
            "runtimeRequestTimeout": "10m",
            "maxPods": PODS_MAX,
        }
