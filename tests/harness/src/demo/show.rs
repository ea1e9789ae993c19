//! What the person at the screen reads, and the ledger of what was claimed.

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

/// Something the demo says, and whether it was so.
#[derive(Debug)]
pub(super) struct Claim {
    scene: String,
    sentence: String,
    /// What was seen instead.
    failure: Option<String>,
}

/// The screen and the ledger.
pub(super) struct Show {
    started: Instant,
    colour: bool,
    scene: String,
    scenes: usize,
    claims: Vec<Claim>,
}

impl Show {
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            colour: std::io::stdout().is_terminal(),
            scene: "Start".to_owned(),
            scenes: 0,
            claims: Vec::new(),
        }
    }

    /// Starts a scene.
    pub fn scene(&mut self, title: &str) {
        self.scenes += 1;
        self.scene = title.to_owned();
        println!("\n{}", self.paint("1", &format!("{}. {title}", self.scenes)));
    }

    /// A heading outside the scenes.
    pub fn heading(&self, title: &str) {
        println!("\n{}", self.paint("1", title));
    }

    /// Tells what is done or seen, with the time.
    pub fn say(&self, sentence: impl Display) {
        println!("{} {sentence}", self.paint("2", &self.clock()));
    }

    /// Shows another program's output.
    pub fn quote(&self, text: &str) {
        for line in text.lines() {
            println!("           {}", self.paint("2", line));
        }
    }

    /// Claims something; `seen` tells what was the case where it does not hold.
    pub fn claim(&mut self, sentence: &str, holds: bool, seen: impl Display) {
        let failure = (!holds).then(|| seen.to_string());
        match &failure {
            None => println!("{} {} {sentence}", self.paint("2", &self.clock()), self.paint("32", "✓")),
            Some(seen) => {
                println!("{} {} {sentence}", self.paint("2", &self.clock()), self.paint("31", "✗ NOT SO:"));
                println!("           seen: {seen}");
            }
        }
        self.claims.push(Claim { scene: self.scene.clone(), sentence: sentence.to_owned(), failure });
    }

    /// How many claims did not hold so far.
    pub fn failures(&self) -> usize {
        self.claims.iter().filter(|claim| claim.failure.is_some()).count()
    }

    /// Whether anything was claimed at all and everything held.
    pub fn all_held(&self) -> bool {
        !self.claims.is_empty() && self.failures() == 0
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Lists every claim under its scene.
    pub fn list_claims(&self) {
        let mut scene = "";
        for claim in &self.claims {
            if claim.scene != scene {
                scene = &claim.scene;
                println!("  {scene}");
            }
            match &claim.failure {
                None => println!("    {} {}", self.paint("32", "✓"), claim.sentence),
                Some(seen) => println!("    {} {} (seen: {seen})", self.paint("31", "✗"), claim.sentence),
            }
        }
    }

    /// The last line.
    pub fn verdict(&self) {
        let (all, failed) = (self.claims.len(), self.failures());
        let seconds = self.elapsed().as_secs_f64();
        if self.all_held() {
            println!("\n{}", self.paint("1;32", &format!("All {all} claims held, in {seconds:.0} s.")));
        } else {
            println!("\n{}", self.paint("1;31", &format!("{failed} of {all} claims did not hold, in {seconds:.0} s.")));
        }
    }

    fn clock(&self) -> String {
        format!("{:8.2} s", self.started.elapsed().as_secs_f64())
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_claim_that_fails_decides_and_none_at_all_is_no_success() {
        let mut show = Show::new();
        assert!(!show.all_held());
        show.claim("it holds", true, "");
        assert!(show.all_held());
        show.claim("it does not", false, "the contrary");
        assert_eq!((show.all_held(), show.failures()), (false, 1));
    }
}
