//! A root file system with only busybox, and an OCI image of it, made without a registry.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::call::Call;
use crate::forks;

/// Debian's busybox-static.
const BUSYBOX: &str = "/bin/busybox";

/// A container's variable for its programs' directory.
const PATH: &str = "PATH=/bin";

/// The file system, made below `dir`.
pub(crate) fn rootfs(dir: &Path) -> PathBuf {
    let root = dir.join("rootfs");
    if root.exists() {
        return root;
    }
    for part in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
        fs::create_dir_all(root.join(part)).unwrap();
    }
    forks::none(|| fs::copy(BUSYBOX, root.join("bin/busybox"))).unwrap();
    for applet in ["sh", "ip", "cat", "httpd", "sleep", "true"] {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    // Engines look users up, and write the other files.
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
    root
}

/// A minimal `config.json` that every OCI runtime accepts: a container of the file system that executes `args`.
pub(crate) fn spec(dir: &Path, args: &[&str]) -> Value {
    let kinds = ["pid", "mount", "network", "ipc", "uts"];
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": rootfs(dir) },
        "process": { "args": args, "env": [PATH], "cwd": "/", "user": { "uid": 0, "gid": 0 } },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"] },
        ],
        "linux": { "namespaces": kinds.map(|kind| json!({ "type": kind })) },
    })
}

/// An OCI archive below `dir` with one image, `name`, whose program sleeps for long.
pub(crate) fn archive(dir: &Path, name: &str) -> PathBuf {
    let layout = dir.join("layout");
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let tar = dir.join("layer.tar");
    pack(&rootfs(dir), &tar);
    let layer = fs::read(&tar).unwrap();
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": { "Env": [PATH], "Entrypoint": ["/bin/sleep", "100000"] },
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
    });
    let kind = |what: &str| format!("application/vnd.oci.image.{what}");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": kind("manifest.v1+json"),
        "config": store(&blobs, &kind("config.v1+json"), config.to_string().as_bytes()),
        "layers": [store(&blobs, &kind("layer.v1.tar"), &layer)],
    });
    let mut listed = store(
        &blobs,
        &kind("manifest.v1+json"),
        manifest.to_string().as_bytes(),
    );
    listed["annotations"] = json!({
        "org.opencontainers.image.ref.name": name,
        "io.containerd.image.name": name,
    });
    let index = json!({ "schemaVersion": 2, "manifests": [listed] });
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    let archive = dir.join("image.tar");
    pack(&layout, &archive);
    archive
}

fn pack(dir: &Path, into: &Path) {
    let [dir, into] = [dir, into].map(|path| path.to_string_lossy());
    let args = ["-C", &*dir, "-cf", &*into, "."];
    Call::new(Path::new("/bin/tar"))
        .args(&args)
        .run()
        .succeeded();
}

/// A blob, and its descriptor.
fn store(blobs: &Path, kind: &str, bytes: &[u8]) -> Value {
    let digest = digest(bytes);
    let (_, hex) = digest.split_once(':').unwrap();
    fs::write(blobs.join(hex), bytes).unwrap();
    json!({ "mediaType": kind, "digest": digest, "size": bytes.len() })
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}
