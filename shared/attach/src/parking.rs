//! Tables of a container that no rule leads to. Routes wait there for DEL. A table's number tells the attachment, and
//! the table that a route is from.

use linkspan_netlink::route::MAIN;
use linkspan_owner::Owner;

/// Routes of tables with higher numbers cannot be parked.
const HOMES: u32 = 1 << 12;
/// Stands for the table of the interface's VRF, which may have any number. No table has this number.
const OF_VRF: u32 = 0;

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

    /// The table for routes of the main table that make way for others.
    pub fn aside(self) -> u32 {
        self.number
    }

    /// The table in which routes from `home` wait. The interface's VRF, if it is in one, has the table `vrf`.
    pub fn place(self, home: u32, vrf: Option<u32>) -> Option<u32> {
        let home = if vrf == Some(home) { OF_VRF } else { home };
        (home < HOMES).then_some(self.block() + home)
    }

    /// The table that the routes parked in `table` are from; `None` for any other table. Routes of a VRF that the
    /// interface has left belong to the main table.
    pub fn home(self, table: u32, vrf: Option<u32>) -> Option<u32> {
        let home = table.checked_sub(self.block());
        let home = home.filter(|home| *home < HOMES)?;
        let is_of_vrf = home == OF_VRF;
        Some(if is_of_vrf { vrf.unwrap_or(MAIN) } else { home })
    }

    /// Returns whether `table` is one of these tables.
    pub fn has(self, table: u32) -> bool {
        table == self.aside() || self.home(table, None).is_some()
    }

    /// The table in which a route of `table` outlives a flush of the interface's routes; none where it would have no place to
    /// wait either. Routes that wait already have one, too.
    pub fn shelter(self, table: u32, vrf: Option<u32>) -> Option<u32> {
        if self.has(table) {
            return Some(table + 3 * HOMES);
        }
        self.place(table, vrf).map(|place| place + HOMES)
    }

    /// The inverse of [`Parking::shelter`].
    pub fn sheltered(self, table: u32, vrf: Option<u32>) -> Option<u32> {
        let waiting = table.checked_sub(3 * HOMES);
        let waiting = waiting.filter(|waiting| self.has(*waiting));
        waiting.or_else(|| self.home(table.checked_sub(HOMES)?, vrf))
    }

    /// The block of tables that follows the attachment's number.
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
            let place = parking.place(home, Some(7_000_000)).unwrap();
            assert_eq!(parking.home(place, None), Some(home));
            assert!(parking.has(place) && place > u32::from(u16::MAX));
            assert_ne!(place, parking.aside());
            assert!(!parking.has(home));
        }
        assert_eq!(parking.place(HOMES, None), None);
        assert_eq!(parking.home(parking.aside(), None), None);
    }

    #[test]
    fn what_is_sheltered_is_told_from_what_waits() {
        let parking = Parking::of(&Owner::parse("net/pod/eth0").unwrap());
        let vrf = Some(7_000_000);
        let waiting = parking.place(254, vrf).unwrap();
        let tables = [1, 254, HOMES - 1, 7_000_000, waiting, parking.aside()];
        let shelters = tables.map(|table| parking.shelter(table, vrf).unwrap());
        for (table, shelter) in tables.into_iter().zip(shelters) {
            assert_eq!(parking.sheltered(shelter, vrf), Some(table));
            assert_eq!(parking.sheltered(table, vrf), None);
            assert!(!parking.has(shelter));
        }
        assert_eq!(parking.shelter(HOMES, vrf), None);
    }

    #[test]
    fn routes_of_a_vrf_go_to_the_main_table_once_the_interface_has_left_it() {
        let parking = Parking::of(&Owner::parse("net/pod/eth0").unwrap());
        let vrf = Some(7_000_000);
        let place = parking.place(7_000_000, vrf).unwrap();
        assert_eq!(parking.home(place, vrf), vrf);
        assert_eq!(parking.home(place, None), Some(MAIN));
        assert!(parking.has(place));
    }
}
