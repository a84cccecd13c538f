//! Any bytes as a plugin's configuration, through `serve` of every plugin, up to the point where a plugin would change
//! something: the namespace is missing, delegation is impossible, and host-local only gets STATUS.

use linkspan_protocol::json::Json;

use crate::reply::{nowhere, serve};

pub(crate) fn target(data: &[u8]) {
    for verb in ["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"] {
        serve(&linkspan_loopback::ENTRY, &nowhere(verb), data);
    }
    for verb in ["ADD", "CHECK"] {
        serve(&linkspan_bridge::ENTRY, &nowhere(verb), data);
        serve(&linkspan_dummy::ENTRY, &nowhere(verb), data);
        serve(&linkspan_vlan::ENTRY, &nowhere(verb), data);
        serve(&linkspan_ipvlan::ENTRY, &nowhere(verb), data);
        serve(&linkspan_macvlan::ENTRY, &nowhere(verb), data);
        serve(&linkspan_host_device::ENTRY, &nowhere(verb), data);
        serve(&linkspan_tap::ENTRY, &nowhere(verb), data);
        serve(&linkspan_veth::ENTRY, &nowhere(verb), data);
    }
    for verb in ["CHECK", "STATUS"] {
        serve(&linkspan_bandwidth::ENTRY, &nowhere(verb), data);
    }
    for verb in ["CHECK", "STATUS"] {
        serve(&linkspan_tuning::ENTRY, &nowhere(verb), data);
    }
    for verb in ["ADD", "CHECK"] {
        serve(&linkspan_host_reach::ENTRY, &nowhere(verb), data);
        serve(&linkspan_route_override::ENTRY, &nowhere(verb), data);
        serve(&linkspan_vrf::ENTRY, &nowhere(verb), data);
        serve(&linkspan_sbr::ENTRY, &nowhere(verb), data);
    }
    for verb in ["ADD", "CHECK", "STATUS"] {
        serve(&linkspan_static::ENTRY, &nowhere(verb), data);
    }
    serve(&linkspan_host_local::ENTRY, &nowhere("STATUS"), data);
    let reply = serve(&linkspan_portmap::ENTRY, &nowhere("ADD"), &first(data));
    assert!(!reply.ok, "portmap published something: {reply:?}");
}

/// The configuration without a previous result, so that portmap has nothing to publish.
fn first(data: &[u8]) -> Vec<u8> {
    let Ok(Json::Object(mut members)) = Json::parse(data) else {
        return data.to_vec();
    };
    members.retain(|member| {
        Json::Object(vec![member.clone()])
            .get("prevResult")
            .is_none()
    });
    serde_json::to_vec(&Json::Object(members)).unwrap()
}
