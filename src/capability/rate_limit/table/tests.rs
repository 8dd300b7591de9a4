use super::*;
use std::cell::Cell;
use std::convert::Infallible;
use std::sync::Barrier;
use std::thread;

const KEY: u64 = 7;
const CHARGE: Charge = Charge { key: KEY, debt: 1 };

/// Adds one to the debt, at moment `now`, when `before` has been called: that is where other threads come in between.
fn charge(table: &Table, now: u64, before: impl Fn()) -> u64 {
    let decide = |full_at: Option<u64>| {
        before();
        let full_at = full_at.unwrap_or(now).max(now) + 1;
        Ok::<_, Infallible>((full_at, full_at))
    };
    table.charge(&CHARGE, decide).unwrap_or_else(|never| match never {})
}

fn slots_of_key(table: &Table) -> Vec<Account> {
    let slots = table.set(KEY).look_at_all().map(|seen| seen.account);
    slots.into_iter().filter(|account| account.key == KEY).collect()
}

fn account(full_at: u64) -> Account {
    Account { key: KEY, full_at }
}

/// Whatever another thread does at any of the points where the first one has looked and not yet acted.
#[test]
fn charges_that_come_in_between_share_one_account() {
    for point in 0..6 {
        let (table, looks, others) = (Table::new(4), Cell::new(0), Cell::new(0));
        charge(&table, 100, || {
            if looks.replace(looks.get() + 1) == point {
                others.set(1);
                charge(&table, 100, || ());
            }
        });
        assert_eq!(slots_of_key(&table), [account(101 + others.get())], "at {point}");
    }
}

#[test]
fn of_several_claims_the_oldest_is_charged_and_the_others_are_given_back() {
    let table = Table::new(4);
    let set = table.set(KEY);
    for (slot, number) in [(1, 9), (3, 5), (6, 7)] {
        assert!(set.replace(set.look(slot), account(CLAIM | number)));
    }
    assert_eq!(charge(&table, 100, || ()), 101);
    assert_eq!(slots_of_key(&table), [account(101)]);
    assert_eq!(set.look(3).account, account(101));
}

#[test]
fn a_claim_beside_an_account_is_not_charged() {
    let table = Table::new(4);
    let set = table.set(KEY);
    assert!(set.replace(set.look(1), account(CLAIM)));
    assert!(set.replace(set.look(5), account(110)));
    assert_eq!(charge(&table, 100, || ()), 111);
    assert_eq!(set.settle(KEY).map(|(seen, alone)| (seen.account, alone)), Some((account(111), false)));
    assert_eq!(slots_of_key(&table), [account(111)]);
}

#[test]
fn claims_take_no_more_than_half_of_a_set_from_accounts() {
    let table = Table::new(4);
    let set = table.set(KEY);
    for slot in 0..SLOTS as u64 {
        let full_at = if slot < 4 { 200 + slot } else { CLAIM | slot };
        assert!(set.replace(set.look(slot as usize), Account { key: 100 + slot, full_at }));
    }
    assert!(table.claim(set, KEY, 100).is_some());
    assert!(table.claim(set, KEY + 1, 100).is_some());
    let full_at: Vec<_> = set.look_at_all()[1..4].iter().map(|seen| seen.account.full_at).collect();
    assert_eq!((full_at, table.evictions()), (vec![201, 202, 203], 1));
}

/// Threads give way between looking and acting, so that they claim different slots for the same key in most rounds.
#[test]
fn no_charge_is_lost_or_done_twice() {
    const THREADS: u64 = 4;
    let (table, barrier, wrong) = (Table::new(4), Barrier::new(THREADS as usize), AtomicU64::new(0));
    let work = || {
        for round in 1..2000 {
            barrier.wait();
            (0..3).for_each(|_| _ = charge(&table, round * 1000, thread::yield_now));
            if barrier.wait().is_leader() {
                let right = slots_of_key(&table) == [account(round * 1000 + 3 * THREADS)];
                wrong.fetch_add(u64::from(!right), Ordering::Relaxed);
                forget_key(&table, round);
            }
        }
    };
    thread::scope(|scope| (0..THREADS).for_each(|_| _ = scope.spawn(work)));
    assert_eq!(wrong.into_inner(), 0, "rounds");
}

fn forget_key(table: &Table, full_at: u64) {
    let set = table.set(KEY);
    for seen in set.look_at_all().into_iter().filter(|seen| seen.account.key == KEY) {
        assert!(set.replace(seen, Account { key: 1, full_at }));
    }
}
