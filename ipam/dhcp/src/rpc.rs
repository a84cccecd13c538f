//! The reference's remote procedure calls: Go's `net/rpc` over a unix socket, so that the plugin and the daemon of either
//! suite understand each other.
//!
//! The client sends [`HELLO`], the server answers [`WELCOME`]; from then on both send gob messages. A call is a header and
//! [`Args`]; an answer is a header, which may hold an error, and a result. More than 400 lines: each type of gob is described in the
//! messages themselves, and so here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use linkspan_protocol::addr::Cidr;
use linkspan_protocol::result::{AddResult, Dns, Interface, IpConfig, Route};

use crate::gob::builtin::{BYTES, INT, STRING, UINT};
use crate::gob::write::{Fields, Shape, Type, strings};
use crate::gob::{Error, Value};

/// How a client begins.
pub(crate) const HELLO: &[u8] = b"CONNECT /_goRPC_ HTTP/1.0\n\n";
/// How a server answers that.
pub(crate) const WELCOME: &[u8] = b"HTTP/1.0 200 Connected to Go RPC\n\n";

/// Gives the attachment an address, or tells the one that it has.
pub(crate) const ALLOCATE: &str = "DHCP.Allocate";
/// Gives the address back.
pub(crate) const RELEASE: &str = "DHCP.Release";
/// Ours: tells the lease of the attachment, and fails where it has none.
pub(crate) const LOOK: &str = "DHCP.Look";
/// Ours: gives back the addresses of all attachments that are not valid.
pub(crate) const COLLECT: &str = "DHCP.Collect";

/// How Go's server begins its answer to a method that it does not have.
pub(crate) const NO_METHOD: &str = "rpc: can't find ";

static REQUEST: Type = Type {
    id: 64,
    name: "Request",
    shape: Shape::Struct(&[("ServiceMethod", STRING), ("Seq", UINT)]),
    needs: &[],
};
static ARGS: Type = Type {
    id: 65,
    name: "CmdArgs",
    shape: Shape::Struct(&[
        ("ContainerID", STRING),
        ("Netns", STRING),
        ("IfName", STRING),
        ("Args", STRING),
        ("Path", STRING),
        ("NetnsOverride", STRING),
        ("StdinData", BYTES),
    ]),
    needs: &[],
};
static RESPONSE: Type = Type {
    id: 64,
    name: "Response",
    shape: Shape::Struct(&[("ServiceMethod", STRING), ("Seq", UINT), ("Error", STRING)]),
    needs: &[],
};
static RESULT: Type = Type {
    id: 65,
    name: "Result",
    shape: Shape::Struct(&[
        ("CNIVersion", STRING),
        ("Interfaces", 67),
        ("IPs", 70),
        ("Routes", 72),
        ("DNS", 73),
    ]),
    needs: &[&INTERFACES, &IPS, &ROUTES, &DNS],
};
static INTERFACES: Type = Type {
    id: 67,
    name: "[]*types100.Interface",
    shape: Shape::Slice(66),
    needs: &[&INTERFACE],
};
static INTERFACE: Type = Type {
    id: 66,
    name: "",
    shape: Shape::Struct(&[
        ("Name", STRING),
        ("Mac", STRING),
        ("Mtu", INT),
        ("Sandbox", STRING),
        ("SocketPath", STRING),
        ("PciID", STRING),
    ]),
    needs: &[],
};
static IPS: Type = Type {
    id: 70,
    name: "[]*types100.IPConfig",
    shape: Shape::Slice(68),
    needs: &[&IP],
};
static IP: Type = Type {
    id: 68,
    name: "",
    shape: Shape::Struct(&[("Interface", INT), ("Address", 69), ("Gateway", BYTES)]),
    needs: &[&NET],
};
static NET: Type = Type {
    id: 69,
    name: "IPNet",
    shape: Shape::Struct(&[("IP", BYTES), ("Mask", BYTES)]),
    needs: &[],
};
static ROUTES: Type = Type {
    id: 72,
    name: "[]*types.Route",
    shape: Shape::Slice(71),
    needs: &[&ROUTE],
};
static ROUTE: Type = Type {
    id: 71,
    name: "",
    shape: Shape::Struct(&[
        ("Dst", 69),
        ("GW", BYTES),
        ("MTU", INT),
        ("AdvMSS", INT),
        ("Priority", INT),
        ("Table", INT),
        ("Scope", INT),
    ]),
    needs: &[],
};
static DNS: Type = Type {
    id: 73,
    name: "DNS",
    shape: Shape::Struct(&[
        ("Nameservers", 74),
        ("Domain", STRING),
        ("Search", 74),
        ("Options", 74),
    ]),
    needs: &[&STRINGS],
};
static STRINGS: Type = strings(74);
static EMPTY: Type = Type {
    id: 75,
    name: "",
    shape: Shape::Struct(&[]),
    needs: &[],
};

/// What the plugin was called with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Args {
    /// `CNI_CONTAINERID`
    pub(crate) container: String,
    /// `CNI_NETNS`
    pub(crate) netns: String,
    /// `CNI_IFNAME`
    pub(crate) ifname: String,
    /// `CNI_ARGS`
    pub(crate) pairs: String,
    /// The configuration.
    pub(crate) stdin: Vec<u8>,
}

/// The header of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// The method.
    pub(crate) method: String,
    /// The number of the call.
    pub(crate) seq: u64,
    /// Of an answer: why it failed; empty where it did not.
    pub(crate) error: String,
}

impl From<&Value> for Args {
    fn from(value: &Value) -> Self {
        Self {
            container: value.text("ContainerID"),
            netns: value.text("Netns"),
            ifname: value.text("IfName"),
            pairs: value.text("Args"),
            stdin: value.bytes("StdinData").to_vec(),
        }
    }
}

impl From<&Value> for Header {
    fn from(value: &Value) -> Self {
        Self {
            method: value.text("ServiceMethod"),
            seq: value
                .int("Seq")
                .and_then(|seq| seq.try_into().ok())
                .unwrap_or_default(),
            error: value.text("Error"),
        }
    }
}

/// The first call on a connection, definitions included.
pub(crate) fn call(method: &str, args: &Args) -> Vec<u8> {
    let mut out = Vec::new();
    REQUEST.define(&mut out);
    REQUEST.value(&mut out, |fields| fields.text(0, method));
    ARGS.define(&mut out);
    ARGS.value(&mut out, |fields| {
        fields.text(0, &args.container);
        fields.text(1, &args.netns);
        fields.text(2, &args.ifname);
        fields.text(3, &args.pairs);
        fields.bytes(6, &args.stdin);
    });
    out
}

/// What a server answers, one connection long: a definition is sent once.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    header: bool,
    result: bool,
    empty: bool,
}

impl Answers {
    /// The answer to a call: a result, success without one, or why it failed.
    pub(crate) fn answer(
        &mut self,
        call: &Header,
        outcome: Result<Option<&AddResult>, &str>,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        if !std::mem::replace(&mut self.header, true) {
            RESPONSE.define(&mut out);
        }
        RESPONSE.value(&mut out, |fields| {
            fields.text(0, &call.method);
            fields.uint(1, call.seq);
            fields.text(2, outcome.err().unwrap_or_default());
        });
        if let Ok(Some(result)) = outcome {
            if !std::mem::replace(&mut self.result, true) {
                RESULT.define(&mut out);
            }
            RESULT.value(&mut out, |fields| write_result(fields, result));
        } else {
            if !std::mem::replace(&mut self.empty, true) {
                EMPTY.define(&mut out);
            }
            EMPTY.value(&mut out, |_none| {});
        }
        out
    }
}

fn write_result(fields: &mut Fields<'_>, result: &AddResult) {
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

/// Reads the result of [`ALLOCATE`].
pub(crate) fn result(value: &Value) -> Result<AddResult, Error> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gob::read::Reader;
    use crate::hex;

    fn unhex(text: &str) -> Vec<u8> {
        let digits: String = text.split_whitespace().collect();
        hex::unhex(&digits).unwrap()
    }

    fn sample() -> AddResult {
        let route = Route {
            priority: 7,
            ..Route::via(
                Cidr::parse("0.0.0.0/0").unwrap(),
                Some([10, 8, 0, 1].into()),
            )
        };
        AddResult {
            ips: vec![IpConfig {
                interface: None,
                address: Cidr::parse("10.8.0.50/24").unwrap(),
                gateway: Some([10, 8, 0, 1].into()),
            }],
            routes: vec![route],
            ..AddResult::default()
        }
    }

    /// What the reference's halves send, recorded.
    #[test]
    fn a_call_and_an_answer_have_the_bytes_of_the_reference() {
        let args = Args {
            container: "c1".to_owned(),
            netns: "/n".to_owned(),
            ifname: "eth0".to_owned(),
            pairs: "A=1".to_owned(),
            stdin: b"{}".to_vec(),
        };
        let sent = call(ALLOCATE, &args);
        let start = unhex(
            "2e7f030101075265717565737401ff800001020 10d536572766963654d6574686f64010c0001035365710106000000
             12ff80010d444843502e416c6c6f6361746500
             6cff8103010107436d644172677301ff82000107010b436f6e7461696e65724944010c0001054e65746e73010c000106
             49664e616d65010c00010441726773010c00010450617468010c00010d4e65746e734f76657272696465010c000109
             5374 64696e44617461010a000000",
        );
        assert_eq!(&sent[..start.len()], &start[..]);
        let told = Answers::default().answer(
            &Header {
                method: ALLOCATE.to_owned(),
                ..Header::default()
            },
            Ok(Some(&sample())),
        );
        let want = unhex(
            "397f03010108526573706f6e736501ff80000103010d536572766963654d6574686f64010c00010353657101060001
             054572726f72010c000000 12ff80010d444843502e416c6c6f6361746500
             51ff8103010106526573756c7401ff82000105010a434e4956657273696f6e010c00010a496e746572666163657301
             ff8600010349507301ff8c000106526f7574657301ff90000103444e5301ff92000000
             24ff85020101155b5d2a74797065733130302e496e7465726661636501ff860001ff840000",
        );
        assert_eq!(&told[..want.len()], &want[..]);
        let end = unhex(
            "35ff82030102010 40a0800320104ffffff0000 01040a08000100010101010400000000010400000000 0001040a080001030e0001 0000",
        );
        assert_eq!(&told[told.len() - end.len()..], &end[..]);
    }

    #[test]
    fn a_result_is_read_as_it_was_written() {
        let header = Header {
            method: ALLOCATE.to_owned(),
            seq: 300,
            error: String::new(),
        };
        let mut result_in = sample();
        result_in.routes.push(Route::via(
            Cidr::parse("::/0").unwrap(),
            Some("fe80::1".parse().unwrap()),
        ));
        result_in.dns.nameservers = vec!["10.8.0.1".to_owned(), "fd00::1".to_owned()];
        result_in.dns.domain = "lan".to_owned();
        result_in.dns.search = vec!["lan".to_owned()];
        let told = Answers::default().answer(&header, Ok(Some(&result_in)));
        let (mut reader, mut rest, mut values) = (Reader::default(), &told[..], Vec::new());
        while !rest.is_empty() {
            let mut bytes = crate::gob::read::Bytes(rest);
            let length = usize::try_from(bytes.uint().unwrap()).unwrap();
            let (message, after) = bytes.0.split_at(length);
            values.extend(reader.message(message).unwrap());
            rest = after;
        }
        assert_eq!(Header::from(&values[0]), header);
        assert_eq!(result(&values[1]).unwrap(), result_in);
    }
}
