//! The Debian package: built by `cargo deb` from the binary under test, and installed by dpkg into an empty root.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and says where cargo is at home"
)]

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::id;
use std::sync::OnceLock;

use linkspan_harness::call::Call;
use linkspan_harness::conf::bridge;
use linkspan_harness::lab::{Lab, PLUGINS, in_lab};
use linkspan_harness::server::Server;
use linkspan_harness::skip;
use linkspan_protocol::family::Family;
use serde_json::json;

const LINKSPAN: &str = env!("CARGO_BIN_EXE_linkspan");
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");
const CARGO: &str = env!("CARGO");

/// dpkg's search path for programs; an ordinary user's path may have less.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The root for the installation, with a separate database of packages.
struct Root<'a> {
    lab: &'a Lab,
    dir: PathBuf,
}

/// The package, which the first test that needs it makes for all of this process.
fn package(lab: &Lab) -> Option<PathBuf> {
    static MADE: OnceLock<Option<PathBuf>> = OnceLock::new();
    MADE.get_or_init(|| made(lab)).clone()
}

/// The package, made without a network and without a build. It stays beside the test's binary until the next run.
fn made(lab: &Lab) -> Option<PathBuf> {
    for tool in ["dpkg", "cargo-deb"] {
        skip::without(tool)?;
    }
    // `cargo deb` looks for the file of another profile than the tested one.
    let target = lab.dir().join("target");
    fs::create_dir_all(target.join("release")).unwrap();
    symlink(LINKSPAN, target.join("release/linkspan")).unwrap();
    let cargo = |args: &[&str]| {
        let call = Call::new(Path::new(CARGO)).args(args);
        let call = call.env("CARGO_TARGET_DIR", target.to_str().unwrap());
        let homes = ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];
        let homes = homes.map(|name| (name, std::env::var(name)));
        let set = homes.into_iter();
        let set = set.filter_map(|(name, value)| Some((name, value.ok()?)));
        set.fold(call, |call, (name, value)| call.env(name, &value))
            .run()
    };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let [draft, out] =
        [format!("-{}", id()), String::new()].map(|of| folder.join(format!("linkspan{of}.deb")));
    let made = [
        &["deb", "--manifest-path", MANIFEST, "--offline", "--locked"],
        &["--no-build", "--strip", "--fast"][..],
        &["--output", draft.to_str().unwrap()],
    ];
    cargo(&made.concat()).succeeded();
    // At once, since an ordinary user's tests are processes of their own, which may make it at the same time.
    fs::rename(&draft, &out).unwrap();
    Some(out)
}

impl<'a> Root<'a> {
    fn new(lab: &'a Lab) -> Self {
        let dir = lab.dir().join("root");
        for part in ["info", "updates", "triggers"] {
            fs::create_dir_all(dir.join("var/lib/dpkg").join(part)).unwrap();
        }
        fs::write(dir.join("var/lib/dpkg/status"), "").unwrap();
        Self { lab, dir }
    }

    /// Runs a program of dpkg on this root.
    fn call(&self, program: &str, args: &[&str]) -> String {
        let root = format!("--root={}", self.dir.display());
        let call = Call::new(&skip::without(program).unwrap());
        let call = call.args(&[&root]).args(args).env("PATH", PATH).run();
        call.succeeded().to_owned()
    }

    /// dpkg, which finds neither a shell in this root nor a system's packages.
    fn dpkg(&self, args: &[&str]) {
        let force = "--force-script-chrootless,depends,unsafe-io";
        self.call("dpkg", &[&[force, "--log=/dev/null"], args].concat());
    }

    /// A package that acts as the Go plugins, in its n-th version.
    fn go_plugins(&self, version: u32) -> PathBuf {
        let dir = self.lab.dir().join("go");
        let control = format!(
            "Package: containernetworking-plugins\nVersion: {version}\nArchitecture: all\n\
             Maintainer: nobody <nobody@localhost>\nDescription: stands for another\n"
        );
        for (file, text) in [
            ("DEBIAN/control", control),
            ("usr/lib/cni/bridge", format!("bridge {version}")),
            ("usr/lib/cni/sample", format!("sample {version}")),
        ] {
            let path = dir.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let made = self.lab.dir().join("go.deb");
        let args = ["--build", dir.to_str().unwrap(), made.to_str().unwrap()];
        dpkg_deb(&args);
        made
    }

    fn plugins(&self) -> PathBuf {
        self.dir.join("usr/lib/cni")
    }

    fn plugin_names(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.plugins()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    /// The package that diverts each plugin's name.
    fn diverted_by(&self) -> BTreeSet<String> {
        let of = |name: &&str| {
            let file = format!("/usr/lib/cni/{name}");
            self.call("dpkg-divert", &["--listpackage", &file])
        };
        let owners = PLUGINS.iter().map(of);
        owners.map(|owner| owner.trim().to_owned()).collect()
    }
}

/// The content of a package; needs no root.
fn dpkg_deb(args: &[&str]) -> String {
    let call = Call::new(Path::new("/usr/bin/dpkg-deb")).args(args);
    call.env("PATH", PATH).run().succeeded().to_owned()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn pods_run_from_a_root_with_nothing_but_the_package() {
    in_lab(LINKSPAN, |lab| {
        let Some(package) = package(lab) else {
            return;
        };
        has_all(&package);
        let root = Root::new(lab);
        root.dpkg(&["--install", package.to_str().unwrap()]);
        let linkspan = root.dir.join("usr/bin/linkspan");
        let binary = fs::symlink_metadata(&linkspan).unwrap();
        assert_eq!((binary.mode() & 0o7777, binary.uid()), (0o755, 0));
        assert_eq!(root.plugin_names(), set(PLUGINS));
        for name in PLUGINS {
            // The same inode, otherwise IPAM would be executed.
            let plugin = fs::metadata(root.plugins().join(name)).unwrap();
            assert_eq!(plugin.ino(), binary.ino(), "{name}");
        }
        let sandbox = lab.sandbox();
        let list = json!({ "cniVersion": "1.1.0", "name": "net", "plugins": [
            bridge(lab, &json!({ "ipMasq": true })),
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ] });
        let file = lab.dir().join("net.conflist");
        fs::write(&file, list.to_string()).unwrap();
        let port =
            |protocol: &str| json!({ "hostPort": 8080, "containerPort": 80, "protocol": protocol });
        let ports = json!({ "portMappings": [port("tcp"), port("udp")] });
        let call = |verb| {
            let call = Call::new(&linkspan).args(&[verb, file.to_str().unwrap()]);
            let cache = lab.dir().join("cache");
            call.args(&[&sandbox.path(), "--cache-dir", cache.to_str().unwrap()])
                .env("CNI_PATH", root.plugins().to_str().unwrap())
                .env("CAP_ARGS", &ports.to_string())
                .run()
        };
        call("add").succeeded();
        let server = Server::of(&sandbox.netns, 80, Family::V4);
        let gateway: IpAddr = "10.1.0.1".parse().unwrap();
        let pod: IpAddr = "10.1.0.2".parse().unwrap();
        assert_eq!(server.answers(lab.host(), (pod, 80).into()), gateway);
        server.answers(lab.host(), ([127, 0, 0, 1], 8080).into());
        call("check").succeeded();
        call("del").succeeded();
        assert!(lab.leased("net").is_empty());
        root.dpkg(&["--purge", "linkspan"]);
        assert!(!root.dir.join("usr").exists());
    });
}

#[test]
fn lintian_finds_nothing_that_is_not_overridden_with_a_reason() {
    in_lab(LINKSPAN, |lab| {
        let Some(lintian) = skip::without("lintian") else {
            return;
        };
        let Some(package) = package(lab) else {
            return;
        };
        let tmp = lab.dir().to_str().unwrap();
        let judged = Call::new(&lintian)
            .args(&[
                "--allow-root",
                "--no-cfg",
                "--fail-on",
                "error,warning,info",
            ])
            .args(&["--tag-display-limit", "0", package.to_str().unwrap()])
            .env("PATH", PATH)
            .env("TMPDIR", tmp)
            .env("HOME", tmp)
            .run();
        assert_eq!(
            (judged.status, &*judged.stdout),
            (0, ""),
            "{}",
            judged.stderr
        );
    });
    // Each override has its reason above it.
    let overrides = fs::read_to_string(format!("{DEPLOY}/debian/lintian-overrides")).unwrap();
    assert!(overrides.starts_with("# "), "{overrides}");
}

/// Asserts that the package has a page for every command, and completions that complete.
fn has_all(package: &Path) {
    let path = package.to_str().unwrap();
    let contents = dpkg_deb(&["--contents", path]);
    let has = |file: &str| assert!(contents.contains(file), "{file}: {contents}");
    for page in fs::read_dir(format!("{DEPLOY}/man")).unwrap() {
        let page = page.unwrap().file_name().into_string().unwrap();
        has(&format!(" ./usr/share/man/man1/{page}.gz\n"));
    }
    for unit in [
        "dhcp.service",
        "dhcp.socket",
        "gc.service",
        "gc.timer",
        "metrics.service",
        "metrics.timer",
        "restore.service",
    ] {
        has(&format!(" ./usr/lib/systemd/system/linkspan-{unit}\n"));
    }
    has("/nftables.service.wants/linkspan-restore.service -> ../linkspan-restore.service\n");
    has(" ./usr/share/bash-completion/completions/linkspan\n");
    has(" ./usr/share/zsh/vendor-completions/_linkspan\n");
    has(" ./usr/share/fish/vendor_completions.d/linkspan.fish\n");
    has(" ./usr/share/doc/linkspan/examples/bridge.conflist\n");
    for file in [
        "README.md.gz",
        "COMPATIBILITY.md.gz",
        "docs/clients.md.gz",
        "examples/README.md",
    ] {
        has(&format!(
            " ./usr/share/doc/linkspan/{}",
            file.trim_end_matches(".gz")
        ));
    }
    has(" ./usr/share/linkspan/schemas/conflist.json\n");
    has(" ./usr/share/linkspan/schemas/output/list.json\n");
    has(" ./usr/share/doc/linkspan/NOTICES\n");
    has(" ./usr/share/doc/linkspan/linkspan.cdx.json\n");
    let version = dpkg_deb(&["--field", path, "Version"]);
    let changes = fs::read_to_string(format!("{DEPLOY}/debian/changelog")).unwrap();
    assert!(
        changes.starts_with(&format!("linkspan ({}) ", version.trim())),
        "the changelog does not begin with {version}"
    );
    let script = r#". "$0"; COMP_WORDS=(linkspan inst); COMP_CWORD=1; _linkspan linkspan inst linkspan; echo "${COMPREPLY[@]}""#;
    let completion = format!("{DEPLOY}/completions/linkspan.bash");
    let bash = Call::new(Path::new("/bin/bash")).args(&["-c", script, &completion]);
    assert_eq!(bash.run().succeeded().trim(), "install");
}

#[test]
fn the_package_takes_the_names_of_the_go_plugins_and_gives_them_back() {
    in_lab(LINKSPAN, |lab| {
        let Some(package) = package(lab) else {
            return;
        };
        let root = Root::new(lab);
        let install = |package: &Path| root.dpkg(&["--install", package.to_str().unwrap()]);
        let read = |name: &str| fs::read_to_string(root.plugins().join(name)).unwrap();
        let is_ours = || {
            let link = fs::read_link(root.plugins().join("bridge")).unwrap();
            assert_eq!(link, Path::new("../../bin/linkspan"));
            assert_eq!(root.diverted_by(), set(&["linkspan"]));
            let more = ["bridge.distrib", "sample"];
            assert_eq!(root.plugin_names(), set(&[PLUGINS, &more].concat()));
        };
        install(&root.go_plugins(1));
        install(&package);
        is_ours();
        assert_eq!(read("bridge.distrib"), "bridge 1");
        // The next version of either.
        install(&root.go_plugins(2));
        install(&package);
        is_ours();
        assert_eq!(
            (read("bridge.distrib"), read("sample")),
            ("bridge 2".to_owned(), "sample 2".to_owned())
        );
        root.dpkg(&["--remove", "linkspan"]);
        assert_eq!(root.plugin_names(), set(&["bridge", "sample"]));
        assert_eq!(read("bridge"), "bridge 2");
        assert_eq!(root.diverted_by(), set(&[""]));
    });
}
