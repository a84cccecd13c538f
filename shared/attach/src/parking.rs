//! Tables of a container that nothing leads to, in which routes wait for DEL. Their numbers tell the attachment, and the table
//! that a route is from.

use linkspan_owner::Owner;

/// Tables with higher numbers have no place to wait.
const HOMES: u32 = 1 << 12;

/// The tables of one attachment.
#[derive(Debug, Clone, Copy)]
pub struct Parking {
    number: u32,
}

impl Parking {
    /// The tables of `owner`.
    pub fn of(owner: &Owner) -> Self {
        Self {
            number: owner.number(),
        }
    }

    /// The table for routes of the main table that give way to others.
    pub fn aside(self) -> u32 {
        self.number
    }

    /// The table in which routes from `home` wait.
    pub fn place(self, home: u32) -> Option<u32> {
        (home < HOMES).then_some(self.block() + home)
    }

    /// The table that routes in `table` are from, if they wait there.
    pub fn home(self, table: u32) -> Option<u32> {
        table.checked_sub(self.block()).filter(|home| *home < HOMES)
    }

    /// Whether routes wait in `table`.
    pub fn has(self, table: u32) -> bool {
        table == self.aside() || self.home(table).is_some()
    }

    /// The block of tables behind the one with the attachment's number.
    fn block(self) -> u32 {
        self.number / HOMES * HOMES + HOMES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_has_a_place_of_its_own_and_knows_its_home() {
        let parking = Parking::of(&Owner::parse("net/pod/eth0").unwrap());
        for home in [1, 100, 254, HOMES - 1] {
            let place = parking.place(home).unwrap();
            assert_eq!(parking.home(place), Some(home));
            assert!(parking.has(place) && place > u32::from(u16::MAX));
            assert_ne!(place, parking.aside());
            assert!(!parking.has(home));
        }
        assert_eq!(parking.place(HOMES), None);
        assert_eq!(parking.home(parking.aside()), None);
    }
}
