//! What rules are made of. Registers are numbered by slots of four bytes, as `NFT_REG32_00` to `NFT_REG32_15`.

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

/// `NFT_PAYLOAD_NETWORK_HEADER`
const NETWORK: u32 = 1;
/// `NFT_PAYLOAD_TRANSPORT_HEADER`
const TRANSPORT: u32 = 2;

impl Header {
    /// Source address.
    pub const IP_SADDR: Self = Self::new(NETWORK, 12, 4);
    /// Destination address.
    pub const IP_DADDR: Self = Self::new(NETWORK, 16, 4);
    /// Source address.
    pub const IP6_SADDR: Self = Self::new(NETWORK, 8, 16);
    /// Destination address.
    pub const IP6_DADDR: Self = Self::new(NETWORK, 24, 16);
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

/// A register by its slot.
fn register(slot: u32) -> Register {
    const REG32_00: u32 = 8;
    Register::from(REG32_00 + slot)
}

/// Loads what is known about the packet.
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

/// Writes an address of the packet, and mends the checksums that cover it.
pub fn store(header: Header, slot: u32) -> Expr {
    /// Where IPv4 has the checksum of its header.
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

/// Goes on where the register has these bytes.
pub fn equal(slot: u32, bytes: &[u8]) -> Expr {
    compare(slot, Operator::Equal, bytes)
}

/// Goes on where the register has other bytes.
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

/// Keeps of the register only the bits of `mask`.
pub fn mask(slot: u32, mask: [u8; 4]) -> Expr {
    Expr(ListAttribute::from(Expressions::Bitwise(vec![
        Bitwise::SourceRegister(register(slot)),
        Bitwise::DestinationRegister(register(slot)),
        Bitwise::Length(4),
        Bitwise::Mask(DataAttribute::Value(mask.to_vec())),
        Bitwise::Xor(DataAttribute::Value(vec![0; 4])),
    ])))
}

/// Puts bytes into the register.
pub fn put(slot: u32, bytes: &[u8]) -> Expr {
    Expr(ListAttribute::from(Expressions::Immediate(vec![
        Immediate::DestinationRegister(register(slot)),
        Immediate::Data(DataAttribute::Value(bytes.to_vec())),
    ])))
}

/// Goes on where the registers from `slot` on are in the set.
pub fn within(set: &str, slot: u32) -> Expr {
    Expr(ListAttribute::from(Expressions::Lookup(vec![
        Lookup::Set(set.to_owned()),
        Lookup::SourceRegister(register(slot)),
    ])))
}

/// Goes on where they are not.
pub fn without(set: &str, slot: u32) -> Expr {
    /// `NFT_LOOKUP_F_INV`
    const INVERT: u32 = 1;
    Expr(ListAttribute::from(Expressions::Lookup(vec![
        Lookup::Set(set.to_owned()),
        Lookup::SourceRegister(register(slot)),
        Lookup::Flags(INVERT),
    ])))
}

/// Goes on where they are a key of the map, with its value in the registers from `slot` on.
pub fn map(name: &str, slot: u32) -> Expr {
    Expr(ListAttribute::from(Expressions::Lookup(vec![
        Lookup::Set(name.to_owned()),
        Lookup::SourceRegister(register(slot)),
        Lookup::DestinationRegister(register(slot)),
    ])))
}

/// Sends the connection to the address and port in these registers.
pub fn dnat(six: bool, address: u32, port: u32) -> Expr {
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
            number(FAMILY, u32::from(nfproto(six))),
            number(ADDRESS, register(address).into()),
            number(PORT, register(port).into()),
        ],
    )
}

/// Gives the connection the source address of the interface that it leaves by.
pub fn masquerade() -> Expr {
    other("masq", Vec::new())
}

/// Goes on where the destination is an address of this host (`fib daddr type local`).
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

/// Loads the destination port that the connection had before it was translated (`ct original proto-dst`).
pub fn original_port(slot: u32) -> Expr {
    /// `NFT_CT_PROTO_DST`
    const PORT: u32 = 12;
    /// `IP_CT_DIR_ORIGINAL`
    const ORIGINAL: u8 = 0;
    let mut attributes = track(PORT, slot);
    attributes.push(DefaultNla::new(3, vec![ORIGINAL]));
    other("ct", attributes)
}

/// Goes on where the connection's destination was translated (`ct status dnat`).
pub fn translated() -> [Expr; 3] {
    /// `NFT_CT_STATUS`
    const STATUS: u32 = 2;
    /// `IPS_DST_NAT` of `linux/netfilter/nf_conntrack_common.h`
    const DST_NAT: u32 = 1 << 5;
    [
        other("ct", track(STATUS, 0)),
        mask(0, DST_NAT.to_ne_bytes()),
        differ(0, &[0; 4]),
    ]
}

fn track(key: u32, slot: u32) -> Vec<DefaultNla> {
    const DESTINATION_REGISTER: u16 = 1;
    const KEY: u16 = 2;
    vec![
        number(KEY, key),
        number(DESTINATION_REGISTER, register(slot).into()),
    ]
}

/// Goes on in another chain, and comes back where that does not decide.
pub fn jump(chain: &str) -> Expr {
    Expr(ListAttribute::from(Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(vec![
            VerdictAttribute::Code(Verdict::Jump),
            VerdictAttribute::Chain(chain.to_owned()),
        ])),
    ])))
}

/// Goes on where the packet is of the family.
pub fn of_family(six: bool) -> [Expr; 2] {
    [meta(MetaKey::Nfproto, 0), equal(0, &[nfproto(six)])]
}

/// `NFPROTO_IPV4` or `NFPROTO_IPV6`
fn nfproto(six: bool) -> u8 {
    if six { 10 } else { 2 }
}

fn other(name: &str, attributes: Vec<DefaultNla>) -> Expr {
    Expr(ListAttribute::from(Expressions::Other {
        expression_type: name.to_owned(),
        attributes,
    }))
}

/// An attribute of four bytes in network order, as nf_tables wants its numbers.
pub(crate) fn number(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_be_bytes().to_vec())
}
