//! The types of the messages, with the descriptions and numbers of Go's encoder.

use crate::gob::builtin::{BYTES, INT, STRING, UINT};
use crate::gob::write::{Shape, Type, strings};

pub(super) static REQUEST: Type = Type {
    id: 64,
    name: "Request",
    shape: Shape::Struct(&[("ServiceMethod", STRING), ("Seq", UINT)]),
    needs: &[],
};
pub(super) static ARGS: Type = Type {
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
pub(super) static RESPONSE: Type = Type {
    id: 64,
    name: "Response",
    shape: Shape::Struct(&[("ServiceMethod", STRING), ("Seq", UINT), ("Error", STRING)]),
    needs: &[],
};
pub(super) static RESULT: Type = Type {
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
pub(super) static EMPTY: Type = Type {
    id: 75,
    name: "",
    shape: Shape::Struct(&[]),
    needs: &[],
};
