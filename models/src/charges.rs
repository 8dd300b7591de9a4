//! Accounts of rate limits.

use std::sync::Arc;
use std::time::Duration;

use super::table::{Charge, Table};
use crate::{both, check, check_within};

const NOW: u64 = 1000;
const DEBT: u64 = 10;
/// Keys that look for their slots from the same one on.
const KEYS: [u64; 2] = [1, 2];

/// Charges a key once and returns when its account is full.
fn charge(table: &Table, key: u64) -> u64 {
    charge_at(NOW, table, key, DEBT)
}

/// The same at a moment, with a debt.
fn charge_at(now: u64, table: &Table, key: u64, debt: u64) -> u64 {
    let charge = Charge::new(key, Duration::from_nanos(debt));
    let decide = |full_at: Option<u64>| {
        let full_at = full_at.unwrap_or(now).max(now) + debt;
        Ok::<_, ()>((full_at, full_at))
    };
    table.charge(&charge, decide).expect("it is decided so")
}

/// A table of one set.
fn table() -> Arc<Table> {
    Arc::new(Table::new(1))
}

/// A key that two threads are the first to charge has one account, with both charges in it.
pub fn a_new_key_gets_one_account() {
    check(|| {
        let table = table();
        let charging = || {
            let table = Arc::clone(&table);
            move || charge(&table, KEYS[0])
        };
        let mut seen = both(charging(), charging());
        seen.sort_unstable();
        assert_eq!(seen, [NOW + DEBT, NOW + 2 * DEBT], "no charge is lost");
        assert_eq!((table.indebted(NOW), table.evictions()), (1, 0));
        assert_eq!(charge(&table, KEYS[0]), NOW + 3 * DEBT, "it is the account that is found");
    });
}

/// Two keys that reach for the same slot at once get one each.
pub fn two_new_keys_get_two_accounts() {
    check(|| {
        let table = table();
        let [one, other] = KEYS.map(|key| {
            let table = Arc::clone(&table);
            move || charge(&table, key)
        });
        assert_eq!(both(one, other), [NOW + DEBT; 2]);
        assert_eq!((table.indebted(NOW), table.evictions()), (2, 0));
        assert_eq!(KEYS.map(|key| charge(&table, key)), [NOW + 2 * DEBT; 2]);
    });
}

/// A key that is known is charged by both.
pub fn no_charge_of_a_known_key_is_lost() {
    check(|| {
        let table = table();
        charge(&table, KEYS[0]);
        let charging = || {
            let table = Arc::clone(&table);
            move || charge(&table, KEYS[0])
        };
        let mut seen = both(charging(), charging());
        seen.sort_unstable();
        assert_eq!(seen, [NOW + 2 * DEBT, NOW + 3 * DEBT]);
        assert_eq!(table.indebted(NOW), 1);
    });
}

/// Three threads take each other's claims, and one account comes of it.
pub fn three_claims_become_one_account() {
    check_within(2, || {
        let table = table();
        let charging = || {
            let table = Arc::clone(&table);
            move || charge(&table, KEYS[0])
        };
        let third = loom::thread::spawn(charging());
        let mut seen = both(charging(), charging()).to_vec();
        seen.push(third.join().expect("it does not panic"));
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3].map(|charges| NOW + charges * DEBT));
        assert_eq!((table.indebted(NOW), table.evictions()), (1, 0));
    });
}

/// Two threads whose clocks differ reach for different slots, since another key's account is full for one of them only.
/// The key gets one account all the same.
pub fn claims_in_two_slots_become_one_account() {
    const MUCH: u64 = 100 * DEBT;
    check(|| {
        let table = table();
        let other = charge(&table, KEYS[1]);
        let charging = |now| {
            let table = Arc::clone(&table);
            move || charge_at(now, &table, KEYS[0], MUCH)
        };
        both(charging(NOW), charging(other));
        assert_eq!(table.indebted(other), 1, "the key has two accounts");
        let full_at = charge_at(other, &table, KEYS[0], MUCH);
        assert!([NOW, other].map(|begun| begun + 3 * MUCH).contains(&full_at), "a charge is lost: {full_at}");
    });
}
