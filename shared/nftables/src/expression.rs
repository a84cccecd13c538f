//! Decoding of single expressions of rules, as `linux/netfilter/nf_tables.h` lays them out.

use crate::decode::{attribute, big_endian, text};

/// `NFT_PAYLOAD_NETWORK_HEADER` and `NFT_PAYLOAD_TRANSPORT_HEADER`
pub(crate) const NETWORK: u32 = 1;
pub(crate) const TRANSPORT: u32 = 2;

/// `NFT_CMP_EQ` and `NFT_CMP_NEQ`
pub(crate) const EQUAL: u32 = 0;
pub(crate) const DIFFERENT: u32 = 1;

/// Splits an expression into its name and its data.
pub(crate) fn parts(expression: &[u8]) -> Option<(String, &[u8])> {
    const NAME: u16 = 1;
    const DATA: u16 = 2;
    let data = attribute(expression, DATA).unwrap_or_default();
    Some((text(expression, NAME)?, data))
}

/// `payload` loads a part of a header into a register.
pub(crate) struct Payload {
    pub(crate) register: Option<u32>,
    /// Header, offset and length; `None` if one is missing.
    pub(crate) field: Option<(u32, u32, u32)>,
}

impl Payload {
    pub(crate) fn read(data: &[u8]) -> Self {
        const REGISTER: u16 = 1;
        const BASE: u16 = 2;
        const OFFSET: u16 = 3;
        const LEN: u16 = 4;
        let field = || {
            let (base, offset) = (big_endian(data, BASE)?, big_endian(data, OFFSET)?);
            Some((base, offset, big_endian(data, LEN)?))
        };
        Self {
            register: big_endian(data, REGISTER),
            field: field(),
        }
    }
}

/// `meta` loads metadata: the register and the key.
pub(crate) fn meta(data: &[u8]) -> Option<(u32, u32)> {
    const REGISTER: u16 = 1;
    const KEY: u16 = 2;
    Some((big_endian(data, REGISTER)?, big_endian(data, KEY)?))
}

/// `cmp` compares a register with a value.
pub(crate) struct Comparison<'a> {
    pub(crate) register: u32,
    pub(crate) operator: u32,
    pub(crate) value: &'a [u8],
}

impl<'a> Comparison<'a> {
    pub(crate) fn read(data: &'a [u8]) -> Option<Self> {
        const REGISTER: u16 = 1;
        const OPERATOR: u16 = 2;
        const DATA: u16 = 3;
        const VALUE: u16 = 1;
        Some(Self {
            value: attribute(attribute(data, DATA)?, VALUE)?,
            register: big_endian(data, REGISTER)?,
            operator: big_endian(data, OPERATOR)?,
        })
    }
}

/// `match` or `target`: name, revision and data of an extension of iptables.
pub(crate) fn extension(data: &[u8]) -> Option<(String, u32, Option<&[u8]>)> {
    const NAME: u16 = 1;
    const REVISION: u16 = 2;
    const INFO: u16 = 3;
    let revision = big_endian(data, REVISION)?;
    Some((text(data, NAME)?, revision, attribute(data, INFO)))
}
