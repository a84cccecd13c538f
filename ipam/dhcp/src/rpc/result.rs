//! The result of ADD in a message.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use linkspan_protocol::addr::Cidr;
use linkspan_protocol::result::{AddResult, Dns, Interface, IpConfig, Route};

use crate::gob::write::Fields;
use crate::gob::{Error, Value};

pub(super) fn write(fields: &mut Fields<'_>, result: &AddResult) {
    fields.list(1, &result.interfaces, |fields, interface: &Interface| {
        fields.text(0, &interface.name);
        fields.text(1, &interface.mac);
        fields.int(2, interface.mtu);
        fields.text(3, &interface.sandbox);
        fields.text(4, &interface.socket_path);
        fields.text(5, &interface.pci_id);
    });
    fields.list(2, &result.ips, |fields, ip: &IpConfig| {
        fields.int(0, ip.interface.unwrap_or_default());
        fields.nested(1, |fields| net(fields, ip.address));
        fields.bytes(2, &ip.gateway.map(octets).unwrap_or_default());
    });
    fields.list(3, &result.routes, |fields, route: &Route| {
        fields.nested(0, |fields| net(fields, route.dst));
        fields.bytes(1, &route.gw.map(octets).unwrap_or_default());
        fields.int(2, route.mtu);
        fields.int(3, route.advmss);
        fields.int(4, route.priority);
        fields.int(5, route.table.unwrap_or_default());
        fields.int(6, route.scope.unwrap_or_default());
    });
    fields.nested(4, |fields| {
        fields.texts(0, &result.dns.nameservers);
        fields.text(1, &result.dns.domain);
        fields.texts(2, &result.dns.search);
        fields.texts(3, &result.dns.options);
    });
}

fn net(fields: &mut Fields<'_>, cidr: Cidr) {
    fields.bytes(0, &octets(cidr.ip()));
    fields.bytes(1, &mask(cidr));
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn mask(cidr: Cidr) -> Vec<u8> {
    let bytes = if cidr.ip().is_ipv4() { 4 } else { 16 };
    let ones = (0..bytes).map(|at: u32| u32::from(cidr.prefix()).saturating_sub(at * 8).min(8));
    ones.map(|ones| !0xff_u8.checked_shr(ones).unwrap_or_default())
        .collect()
}

/// Reads the result of a call.
pub(crate) fn read(value: &Value) -> Result<AddResult, Error> {
    let ips = value.list("IPs").iter().map(|ip| {
        Ok(IpConfig {
            interface: ip.int("Interface"),
            address: cidr(ip.field("Address").ok_or(Error::Form)?)?,
            gateway: optional(ip.bytes("Gateway"))?,
        })
    });
    let routes = value.list("Routes").iter().map(|route| {
        Ok(Route {
            dst: cidr(route.field("Dst").ok_or(Error::Form)?)?,
            gw: optional(route.bytes("GW"))?,
            mtu: route.int("MTU").unwrap_or_default(),
            advmss: route.int("AdvMSS").unwrap_or_default(),
            priority: route.int("Priority").unwrap_or_default(),
            table: route.int("Table"),
            scope: route.int("Scope"),
        })
    });
    Ok(AddResult {
        interfaces: Vec::new(),
        ips: ips.collect::<Result<_, Error>>()?,
        routes: routes.collect::<Result<_, Error>>()?,
        dns: value.field("DNS").map(dns).unwrap_or_default(),
    })
}

fn dns(value: &Value) -> Dns {
    let texts = |name| {
        let items = value.list(name).iter();
        let texts = items.filter_map(|item| match item {
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        });
        texts.collect()
    };
    Dns {
        nameservers: texts("Nameservers"),
        domain: value.text("Domain"),
        search: texts("Search"),
        options: texts("Options"),
    }
}

fn cidr(value: &Value) -> Result<Cidr, Error> {
    let ip = optional(value.bytes("IP"))?.ok_or(Error::Form)?;
    let mask = value.bytes("Mask");
    let prefix: u32 = mask.iter().map(|byte| byte.leading_ones()).sum();
    let ones: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
    let first_zero = mask.iter().position(|byte| *byte != 0xff);
    let rest = first_zero
        .and_then(|at| mask.get(at + 1..))
        .unwrap_or_default();
    if prefix != ones || rest.iter().any(|byte| *byte != 0) {
        return Err(Error::Form);
    }
    let prefix = u8::try_from(prefix).map_err(|_long| Error::Form)?;
    Cidr::new(ip, prefix).ok_or(Error::Form)
}

fn optional(bytes: &[u8]) -> Result<Option<IpAddr>, Error> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Ok(Some(Ipv4Addr::from(four).into()));
    }
    if let Ok(sixteen) = <[u8; 16]>::try_from(bytes) {
        return Ok(Some(IpAddr::from(Ipv6Addr::from(sixteen)).to_canonical()));
    }
    if bytes.is_empty() {
        return Ok(None);
    }
    Err(Error::Form)
}
