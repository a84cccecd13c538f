//! Keys that other software writes into lists and that no plugin of this suite reads. They are never misspellings.

/// The keys of kubenet and its heirs (kops, AKS), podman, nerdctl, Nomad, Calico, flannel and Multus; and keys for
/// comments.
const KEYS: [&str; 24] = [
    "$schema",
    "_comment",
    "addIf",
    "args",
    "comment",
    "container_settings",
    "datastore_type",
    "delegate",
    "delegates",
    "description",
    "ingressPolicy",
    "ipRange",
    "iptablesAdminChainName",
    "kubeconfig",
    "kubernetes",
    "labels",
    "log_file",
    "log_file_path",
    "log_level",
    "nerdctlID",
    "nerdctlLabels",
    "nodename",
    "nodename_file_optional",
    "policy",
];

/// Whether the key is one of them.
pub(super) fn is_known(key: &str) -> bool {
    KEYS.iter().any(|known| known.eq_ignore_ascii_case(key))
}
