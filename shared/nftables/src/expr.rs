//! Expressions of rules. Registers are numbered by slots of four bytes, `NFT_REG32_00` to `NFT_REG32_15`.

use linkspan_protocol::family::Family;
use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Bitwise, ChecksumFlags, ChecksumType, Cmp, DataAttribute, ExpressionAttribute, Expressions,
    Immediate, ListAttribute, Lookup, Meta, Operator, Payload, Register, Verdict, VerdictAttribute,
};

pub use netlink_packet_netfilter::nftables::MetaKey;

/// An expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expr(pub(crate) ListAttribute<ExpressionAttribute>);

/// A field of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    base: u32,
    offset: u32,
    len: u32,
}

/// `NFT_PAYLOAD_LL_HEADER`
const LINK: u32 = 0;
/// `NFT_PAYLOAD_NETWORK_HEADER`
const NETWORK: u32 = 1;
/// `NFT_PAYLOAD_TRANSPORT_HEADER`
const TRANSPORT: u32 = 2;

impl Header {
    /// Hardware address of the sender.
    pub const ETHER_SADDR: Self = Self::new(LINK, 6, 6);
    /// Source address.
    pub const IP_SADDR: Self = Self::new(NETWORK, 12, 4);
    /// Destination address.
    pub const IP_DADDR: Self = Self::new(NETWORK, 16, 4);
    /// Source address.
    pub const IP6_SADDR: Self = Self::new(NETWORK, 8, 16);
    /// Destination address.
    pub const IP6_DADDR: Self = Self::new(NETWORK, 24, 16);
    /// TCP flags.
    pub const TCP_FLAGS: Self = Self::new(TRANSPORT, 13, 1);
    /// Destination port of TCP, UDP, SCTP.
    pub const DPORT: Self = Self::new(TRANSPORT, 2, 2);

    const fn new(base: u32, offset: u32, len: u32) -> Self {
        Self { base, offset, len }
    }

    /// The field's first `len` bytes.
    #[must_use]
    pub const fn first(self, len: u32) -> Self {
        Self { len, ..self }
    }
}

/// The register of a slot.
fn register(slot: u32) -> Register {
    const REG32_00: u32 = 8;
    Register::from(REG32_00 + slot)
}

/// Loads metadata of the packet.
pub fn meta(key: MetaKey, slot: u32) -> Expr {
    Expr(ListAttribute::from(Expressions::Meta(vec![
        Meta::Key(key),
        Meta::DestinationRegister(register(slot)),
    ])))
}

/// Loads a field of the packet.
pub fn load(header: Header, slot: u32) -> Expr {
    Expr(ListAttribute::from(Expressions::Payload(vec![
        Payload::DestinationRegister(register(slot)),
        Payload::Base(header.base),
        Payload::Offset(header.offset),
        Payload::Len(header.len),
    ])))
}

/// Writes an address into the packet, and updates the checksums that cover it.
pub fn store(header: Header, slot: u32) -> Expr {
    /// Offset of the checksum in the IPv4 header.
    const IP_CHECKSUM: u32 = 10;
    let (kind, offset) = if header.len == Header::IP_SADDR.len {
        (ChecksumType::Inet, IP_CHECKSUM)
    } else {
        (ChecksumType::None, 0)
    };
    Expr(ListAttribute::from(Expressions::Payload(vec![
        Payload::SourceRegister(register(slot)),
        Payload::Base(header.base),
        Payload::Offset(header.offset),
        Payload::Len(header.len),
        Payload::CsumType(kind),
        Payload::CsumOffset(offset),
        Payload::CsumFlags(ChecksumFlags::L4PseudoHeader),
    ])))
}

/// Continues if the register has these bytes.
pub fn equal(slot: u32, bytes: &[u8]) -> Expr {
    compare(slot, Operator::Equal, bytes)
}

/// Continues if the register has other bytes.
pub fn differ(slot: u32, bytes: &[u8]) -> Expr {
    compare(slot, Operator::NotEqual, bytes)
}

fn compare(slot: u32, op: Operator, bytes: &[u8]) -> Expr {
    Expr(ListAttribute::from(Expressions::Cmp(vec![
        Cmp::SourceRegister(register(slot)),
        Cmp::Op(op),
        Cmp::Data(DataAttribute::Value(bytes.to_vec())),
    ])))
}

/// Clears the register's bits outside `mask`. The mask's length is the data's.
pub fn mask<const N: usize>(slot: u32, mask: [u8; N]) -> Expr {
    Expr(ListAttribute::from(Expressions::Bitwise(vec![
        Bitwise::SourceRegister(register(slot)),
        Bitwise::DestinationRegister(register(slot)),
        Bitwise::Length(u32::try_from(N).unwrap_or_default()),
        Bitwise::Mask(DataAttribute::Value(mask.to_vec())),
        Bitwise::Xor(DataAttribute::Value(vec![0; N])),
    ])))
}

/// Converts the register's number from host to network byte order.
pub fn network_order(slot: u32) -> Expr {
    const SOURCE_REGISTER: u16 = 1;
    const DESTINATION_REGISTER: u16 = 2;
    const OPERATION: u16 = 3;
    const LENGTH: u16 = 4;
    const SIZE: u16 = 5;
    /// `NFT_BYTEORDER_HTON`
    const HTON: u32 = 1;
    let register = register(slot).into();
    other(
        "byteorder",
        vec![
            number(SOURCE_REGISTER, register),
            number(DESTINATION_REGISTER, register),
            number(OPERATION, HTON),
            number(LENGTH, 4),
            number(SIZE, 4),
        ],
    )
}

/// Loads constant bytes into the register.
pub fn put(slot: u32, bytes: &[u8]) -> Expr {
    Expr(ListAttribute::from(Expressions::Immediate(vec![
        Immediate::DestinationRegister(register(slot)),
        Immediate::Data(DataAttribute::Value(bytes.to_vec())),
    ])))
}

/// Continues if the registers from `slot` on are in the set.
pub fn within(set: &str, slot: u32) -> Expr {
    Expr(ListAttribute::from(Expressions::Lookup(vec![
        Lookup::Set(set.to_owned()),
        Lookup::SourceRegister(register(slot)),
    ])))
}

/// Continues if the registers from `slot` on are not in the set.
pub fn without(set: &str, slot: u32) -> Expr {
    /// `NFT_LOOKUP_F_INV`
    const INVERT: u32 = 1;
    Expr(ListAttribute::from(Expressions::Lookup(vec![
        Lookup::Set(set.to_owned()),
        Lookup::SourceRegister(register(slot)),
        Lookup::Flags(INVERT),
    ])))
}

/// Continues if the registers from `slot` on are a key of the map, and replaces them with the value.
pub fn map(name: &str, slot: u32) -> Expr {
    Expr(ListAttribute::from(Expressions::Lookup(vec![
        Lookup::Set(name.to_owned()),
        Lookup::SourceRegister(register(slot)),
        Lookup::DestinationRegister(register(slot)),
    ])))
}

/// Translates the destination to the address and port in these registers.
pub fn dnat(family: Family, address: u32, port: u32) -> Expr {
    const TYPE: u16 = 1;
    const FAMILY: u16 = 2;
    const ADDRESS: u16 = 3;
    const PORT: u16 = 5;
    /// `NFT_NAT_DNAT`
    const DNAT: u32 = 1;
    other(
        "nat",
        vec![
            number(TYPE, DNAT),
            number(FAMILY, u32::from(nfproto(family))),
            number(ADDRESS, register(address).into()),
            number(PORT, register(port).into()),
        ],
    )
}

/// Translates the source to the address of the outgoing interface.
pub fn masquerade() -> Expr {
    other("masq", Vec::new())
}

/// Continues if the destination is an address of this host (`fib daddr type local`).
pub fn to_this_host() -> [Expr; 2] {
    const DESTINATION_REGISTER: u16 = 1;
    const RESULT: u16 = 2;
    const FLAGS: u16 = 3;
    /// `NFT_FIB_RESULT_ADDRTYPE`
    const ADDRESS_TYPE: u32 = 3;
    /// `NFTA_FIB_F_DADDR`
    const OF_DESTINATION: u32 = 1 << 1;
    /// `RTN_LOCAL` of linux/rtnetlink.h
    const LOCAL: u32 = 2;
    let fib = vec![
        number(DESTINATION_REGISTER, register(0).into()),
        number(RESULT, ADDRESS_TYPE),
        number(FLAGS, OF_DESTINATION),
    ];
    [other("fib", fib), equal(0, &LOCAL.to_ne_bytes())]
}

/// Loads the connection's destination port before translation (`ct original proto-dst`).
pub fn original_port(slot: u32) -> Expr {
    /// `NFT_CT_PROTO_DST`
    const PORT: u32 = 12;
    track_in(PORT, Direction::Original, slot)
}

/// A direction of a tracked connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The direction of the first packet (`IP_CT_DIR_ORIGINAL`).
    Original = 0,
    /// The direction of replies (`IP_CT_DIR_REPLY`).
    Reply = 1,
}

/// Continues if the packet has this direction in its connection (`ct direction`).
pub fn goes(direction: Direction) -> [Expr; 2] {
    /// `NFT_CT_DIRECTION`
    const DIRECTION: u32 = 1;
    let load = other("ct", track(DIRECTION, 0));
    [load, equal(0, &[direction as u8])]
}

/// Loads the source address of packets in that direction, before translation.
pub fn tracked_source(direction: Direction, family: Family, slot: u32) -> Expr {
    /// `NFT_CT_SRC_IP` and `NFT_CT_SRC_IP6`
    const SOURCE: [u32; 2] = [19, 21];
    let [ip, ip6] = SOURCE;
    track_in(family.pick(ip, ip6), direction, slot)
}

/// Loads the destination address of packets in that direction, before translation.
pub fn tracked_destination(direction: Direction, family: Family, slot: u32) -> Expr {
    /// `NFT_CT_DST_IP` and `NFT_CT_DST_IP6`
    const DESTINATION: [u32; 2] = [20, 22];
    let [ip, ip6] = DESTINATION;
    track_in(family.pick(ip, ip6), direction, slot)
}

/// `IPS_DST_NAT` of `linux/netfilter/nf_conntrack_common.h`: the destination was translated.
const DST_NAT: u32 = 1 << 5;
/// `IPS_DST_NAT_DONE`: the connection's first packet has decided about a translation of the destination.
const DST_NAT_DONE: u32 = 1 << 8;

/// Continues if the connection's destination was translated (`ct status dnat`).
pub fn translated() -> [Expr; 3] {
    [status(), mask(0, DST_NAT.to_ne_bytes()), differ(0, &[0; 4])]
}

/// Continues if the connection's destination was translated, or if its first packet has not decided yet.
pub fn translated_or_new() -> [Expr; 3] {
    [
        status(),
        mask(0, (DST_NAT | DST_NAT_DONE).to_ne_bytes()),
        differ(0, &DST_NAT_DONE.to_ne_bytes()),
    ]
}

/// Continues if this is the connection's first packet, before the decision about translation.
pub fn undecided() -> [Expr; 3] {
    [
        status(),
        mask(0, (DST_NAT | DST_NAT_DONE).to_ne_bytes()),
        equal(0, &[0; 4]),
    ]
}

fn status() -> Expr {
    /// `NFT_CT_STATUS`
    const STATUS: u32 = 2;
    other("ct", track(STATUS, 0))
}

/// Continues if the packet is TCP and does not open a connection.
pub fn midstream() -> [Expr; 5] {
    const TCP: u8 = 6;
    const SYN: u8 = 0x02;
    const ACK: u8 = 0x10;
    [
        meta(MetaKey::L4Proto, 0),
        equal(0, &[TCP]),
        load(Header::TCP_FLAGS, 0),
        mask(0, [SYN | ACK]),
        differ(0, &[SYN]),
    ]
}

fn track_in(key: u32, direction: Direction, slot: u32) -> Expr {
    const DIRECTION: u16 = 3;
    let mut attributes = track(key, slot);
    attributes.push(DefaultNla::new(DIRECTION, vec![direction as u8]));
    other("ct", attributes)
}

fn track(key: u32, slot: u32) -> Vec<DefaultNla> {
    const DESTINATION_REGISTER: u16 = 1;
    const KEY: u16 = 2;
    vec![
        number(KEY, key),
        number(DESTINATION_REGISTER, register(slot).into()),
    ]
}

/// Continues in another chain, and returns if that chain reaches no verdict.
pub fn jump(chain: &str) -> Expr {
    Expr(ListAttribute::from(Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(vec![
            VerdictAttribute::Code(Verdict::Jump),
            VerdictAttribute::Chain(chain.to_owned()),
        ])),
    ])))
}

/// Returns from the chain.
pub fn leave() -> Expr {
    decide(Verdict::Return)
}

/// Lets the packet go on to the next hook.
pub fn accept() -> Expr {
    /// `NF_ACCEPT`
    const ACCEPT: u32 = 1;
    decide(Verdict::Other(ACCEPT))
}

/// Drops the packet.
pub fn drop() -> Expr {
    /// `NF_DROP`
    const DROP: u32 = 0;
    decide(Verdict::Other(DROP))
}

fn decide(verdict: Verdict) -> Expr {
    Expr(ListAttribute::from(Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(vec![VerdictAttribute::Code(
            verdict,
        )])),
    ])))
}

/// Continues if the packet is of the family.
pub fn of_family(family: Family) -> [Expr; 2] {
    [meta(MetaKey::Nfproto, 0), equal(0, &[nfproto(family)])]
}

/// `NFPROTO_IPV4` or `NFPROTO_IPV6`
fn nfproto(family: Family) -> u8 {
    family.pick(2, 10)
}

pub(crate) fn other(name: &str, attributes: Vec<DefaultNla>) -> Expr {
    Expr(ListAttribute::from(Expressions::Other {
        expression_type: name.to_owned(),
        attributes,
    }))
}

/// An attribute of four bytes in network byte order, nf_tables' format of numbers.
pub(crate) fn number(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_be_bytes().to_vec())
}
