//! Which key signs when, and until when each is published: pure, so that tests move the clock.
//!
//! ```text
//! old key  ====signs====================|                      published until its last token is expired, and then some
//! new key             |..published......|====signs=======…
//!                  rotation         activation                 publish_ahead lies between
//! ```
//!
//! Two things must never happen: that a token is signed with a key a verifier cannot know yet, or that a key is gone
//! while a token it signed is still good.

use std::cmp::Reverse;

use chrono::{DateTime, TimeDelta, Utc};

/// What the rules are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rota {
    /// How long a token is good.
    pub(crate) lifetime: TimeDelta,
    /// How long a key is published before it signs.
    pub(crate) publish_ahead: TimeDelta,
    /// How long a key signs before it is replaced; `None` for ever.
    pub(crate) rotate_after: Option<TimeDelta>,
}

/// A key's times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) id: String,
    /// From when on it may sign.
    pub(crate) activate: DateTime<Utc>,
    /// Until when it is published; `None` while no other is to follow it.
    pub(crate) expire: Option<DateTime<Utc>>,
    /// Whether this copy of the service can sign with it: it cannot if it was sealed with another secret.
    pub(crate) opens: bool,
}

/// What a rotation does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rotation {
    /// When the new key begins to sign.
    pub(crate) activate: DateTime<Utc>,
    /// The keys that it replaces.
    pub(crate) retire: Vec<String>,
    /// Until when those are published.
    pub(crate) expire: DateTime<Utc>,
}

impl Slot {
    /// Whether verifiers are told about it.
    pub(crate) fn is_published(&self, now: DateTime<Utc>) -> bool {
        self.expire.is_none_or(|end| end > now)
    }
}

impl Rota {
    /// The key that signs: the newest whose time has come.
    pub(crate) fn signer<'a>(&self, slots: &'a [Slot], now: DateTime<Utc>) -> Option<&'a Slot> {
        slots
            .iter()
            .filter(|slot| slot.activate <= now && self.covers(slot, now))
            .max_by_key(|slot| (slot.activate, &slot.id))
    }

    /// The keys that verifiers are told about: the one that signs first, then the newest.
    pub(crate) fn published<'a>(&self, slots: &'a [Slot], now: DateTime<Utc>) -> Vec<&'a Slot> {
        let signer = self.signer(slots, now).map(|slot| &slot.id);
        let mut published: Vec<&Slot> = slots.iter().filter(|slot| slot.is_published(now)).collect();
        published.sort_by_key(|slot| (Some(&slot.id) != signer, Reverse(slot.activate), &slot.id));
        published
    }

    /// Whether a new key is needed: there is none to sign now or later, or the newest has signed for long enough.
    pub(crate) fn is_due(&self, slots: &[Slot], now: DateTime<Utc>) -> bool {
        let newest = slots.iter().filter(|slot| self.covers(slot, now)).map(|slot| slot.activate).max();
        match (newest, self.rotate_after) {
            (None, _) => true,
            (Some(activate), Some(after)) => activate + after <= now,
            (Some(_), None) => false,
        }
    }

    /// What a rotation at this moment does.
    pub(crate) fn rotation(&self, slots: &[Slot], now: DateTime<Utc>) -> Rotation {
        let published: Vec<&Slot> = slots.iter().filter(|slot| slot.is_published(now)).collect();
        // Verifiers that know no key ask when they see one; those that know some may not ask for a while.
        let activate = if published.is_empty() { now } else { now + self.publish_ahead };
        // The last token of the old key is signed when the new one takes over, or a little later by a copy of the
        // service that has not looked since; looking takes far less than publishing ahead.
        let expire = activate + self.lifetime + self.publish_ahead;
        let retire =
            published.iter().filter(|slot| slot.expire.is_none()).map(|slot| slot.id.clone()).collect();
        Rotation { activate, retire, expire }
    }

    /// Whether a token signed now would be expired before the key is gone.
    fn covers(&self, slot: &Slot, now: DateTime<Utc>) -> bool {
        slot.opens && slot.expire.is_none_or(|end| end >= now + self.lifetime)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROTA: Rota = Rota {
        lifetime: TimeDelta::seconds(900),
        publish_ahead: TimeDelta::seconds(120),
        rotate_after: Some(TimeDelta::seconds(3_000)),
    };

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap()
    }

    fn slot(id: &str, activate: i64, expire: Option<i64>) -> Slot {
        Slot { id: id.into(), activate: at(activate), expire: expire.map(at), opens: true }
    }

    fn ids<'a>(slots: &[&'a Slot]) -> Vec<&'a str> {
        slots.iter().map(|slot| slot.id.as_str()).collect()
    }

    /// Keys as they are stored, with rotations as the service makes them.
    #[derive(Default)]
    struct Store(Vec<Slot>);

    impl Store {
        fn rotate(&mut self, now: i64) {
            let rotation = ROTA.rotation(&self.0, at(now));
            for slot in self.0.iter_mut().filter(|slot| rotation.retire.contains(&slot.id)) {
                slot.expire = Some(rotation.expire);
            }
            let id = format!("key-{}", self.0.len());
            self.0.push(Slot { id, activate: rotation.activate, expire: None, opens: true });
        }
    }

    #[test]
    fn the_first_key_signs_at_once_and_the_next_when_it_is_known() {
        let mut store = Store::default();
        assert!(ROTA.is_due(&store.0, at(0)));
        assert!(ROTA.signer(&store.0, at(0)).is_none());
        store.rotate(0);
        assert_eq!(ROTA.signer(&store.0, at(0)).unwrap().id, "key-0");
        assert!(!ROTA.is_due(&store.0, at(2_999)));
        assert!(ROTA.is_due(&store.0, at(3_000)));
        store.rotate(3_000);
        assert!(!ROTA.is_due(&store.0, at(3_000)));
        let seen = |now| {
            let published = ROTA.published(&store.0, at(now));
            (ROTA.signer(&store.0, at(now)).unwrap().id.as_str(), ids(&published))
        };
        assert_eq!(seen(3_000), ("key-0", vec!["key-0", "key-1"]));
        assert_eq!(seen(3_119), ("key-0", vec!["key-0", "key-1"]));
        assert_eq!(seen(3_120), ("key-1", vec!["key-1", "key-0"]));
        assert_eq!(seen(3_120 + 900 + 119), ("key-1", vec!["key-1", "key-0"]));
        assert_eq!(seen(3_120 + 900 + 120), ("key-1", vec!["key-1"]));
    }

    #[test]
    fn a_key_that_does_not_open_is_published_and_never_signs() {
        let foreign = Slot { opens: false, ..slot("foreign", 0, None) };
        assert!(ROTA.signer(std::slice::from_ref(&foreign), at(10)).is_none());
        assert!(ROTA.is_due(std::slice::from_ref(&foreign), at(10)));
        let rotation = ROTA.rotation(std::slice::from_ref(&foreign), at(10));
        // Verifiers know the foreign key, so they have to learn the new one first.
        assert_eq!(rotation.activate, at(130));
        let slots = [foreign, slot("own", 130, None)];
        assert_eq!(ids(&ROTA.published(&slots, at(131))), ["own", "foreign"]);
    }

    #[test]
    fn a_key_stops_signing_while_its_tokens_can_still_be_verified() {
        let slots = [slot("leaving", 0, Some(1_000))];
        assert!(ROTA.signer(&slots, at(100)).is_some());
        assert!(ROTA.signer(&slots, at(101)).is_none());
        assert!(ROTA.is_due(&slots, at(101)));
    }

    /// How old, in seconds, what a copy of the service or a verifier knows may be: less than publishing ahead.
    const LAG: i64 = 70;

    proptest! {
        /// However keys are rotated: a token signed by a copy that last looked a while ago is verified, all its life,
        /// by a verifier that last looked a while ago.
        #[test]
        fn no_good_token_is_ever_refused(
            rotations in prop::collection::btree_set(1_i64..8_000, 0..8),
            copy_lag in 0..50_i64,
            verifier_lag in 0..=LAG,
            steps in prop::collection::vec(0_i64..10_000, 1..40),
        ) {
            let mut history: Vec<(i64, Vec<Slot>)> = Vec::new();
            let mut store = Store::default();
            for second in 0..=11_000 {
                let due = ROTA.is_due(&store.0, at(second));
                if due || rotations.contains(&second) {
                    store.rotate(second);
                    history.push((second, store.0.clone()));
                }
            }
            let known = |second: i64| {
                let index = history.partition_point(|(since, _)| *since <= second.max(0));
                &history[index - 1].1
            };
            for signed in steps {
                let Some(signer) = ROTA.signer(known(signed - copy_lag), at(signed)) else {
                    return Err(TestCaseError::fail(format!("nobody signs at {signed}")));
                };
                for verified in [signed, signed + 1, signed + 450, signed + 899] {
                    let looked = (verified - verifier_lag).max(0);
                    // The verifier keeps what was published when it looked. Where it is told of a key it does not
                    // know at its very first look, it looks again; later it need not.
                    let there = known(looked).iter().any(|slot| slot.id == signer.id && slot.is_published(at(looked)));
                    prop_assert!(there, "{} signed at {signed} is unknown at {verified}", signer.id);
                }
            }
        }
    }
}
