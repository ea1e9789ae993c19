//! Many histories, a failure's shrinking, and its report.
//!
//! `HISTORIES=1000` tries that many in all instead of [`HISTORIES`].
//! `HISTORY_SEED=7` draws others. `HISTORY=...`, as a failure prints it, tells that one history again.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use sha2::{Digest, Sha256};

use super::World;
use super::choices::{History, histories};
use super::rules::Rule;

/// In all tests together.
const HISTORIES: u32 = 100_000;
const EVENTS: usize = 100;

/// Histories from one kind of start; `percent` of all are its share.
pub struct Start {
    pub name: &'static str,
    pub percent: u32,
    pub world: fn(u8) -> World,
}

fn number(name: &str) -> Option<u32> {
    std::env::var(name).ok()?.parse().ok()
}

/// How many histories are to be tried in all.
pub fn histories_wanted() -> u32 {
    number("HISTORIES").unwrap_or(HISTORIES)
}

impl Start {
    /// Every history leaves everything in order.
    pub fn survives(&self) {
        if let Ok(text) = std::env::var("HISTORY") {
            return self.replay(&text);
        }
        let seed = number("HISTORY_SEED").unwrap_or(1);
        self.draw(histories_wanted() / 100 * self.percent, seed);
    }

    fn draw(&self, cases: u32, seed: u32) {
        let hash = Sha256::digest(format!("{} {seed}", self.name));
        let rng = TestRng::from_seed(RngAlgorithm::XorShift, &hash[..16]);
        let config = Config { cases, failure_persistence: None, max_shrink_iters: 40_000, ..Config::default() };
        let result = TestRunner::new_with_rng(config, rng).run(&histories(EVENTS), |history| {
            (self.world)(history.variant).run(&history).map_err(TestCaseError::fail)
        });
        match result {
            Ok(()) => {}
            Err(TestError::Fail(_, history)) => panic!("{}", self.report(&history, seed)),
            Err(TestError::Abort(why)) => panic!("{why}"),
        }
    }

    /// What comes of a history, with rules broken.
    pub fn told_without(&self, rules: &[Rule], history: &History) -> Result<(), String> {
        self.tell(rules, history, false).0
    }

    /// Its story.
    pub fn retell_without(&self, rules: &[Rule], history: &History) -> String {
        self.tell(rules, history, true).1
    }

    fn replay(&self, text: &str) {
        let Some((name, history)) = text.split_once('=') else { panic!("HISTORY is NAME=CHOICES") };
        if name != self.name {
            return;
        }
        let Ok(history) = history.parse::<History>() else { panic!("these are no choices: {history}") };
        let (told, story) = self.tell(&[], &history, true);
        println!("{story}");
        assert_eq!(told, Ok(()));
    }

    /// What came of a history, and its story.
    fn tell(&self, rules: &[Rule], history: &History, aloud: bool) -> (Result<(), String>, String) {
        let mut world = (self.world)(history.variant);
        world.rules.broken = rules.to_vec();
        world.story = aloud.then(Vec::new);
        let told = catch_unwind(AssertUnwindSafe(|| world.run(history)));
        let told = told.unwrap_or_else(|_| Err("it panicked".into()));
        (told, world.story.unwrap_or_default().join("\n"))
    }

    pub fn report(&self, history: &History, seed: u32) -> String {
        let (told, story) = self.tell(&[], history, true);
        format!(
            "{story}\n{}\nseed {seed}; once more: HISTORY={}={history}",
            told.err().unwrap_or_else(|| "it holds when told again: the world is not its choices alone".into()),
            self.name,
        )
    }
}
