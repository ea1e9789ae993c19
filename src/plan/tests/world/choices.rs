//! What happens in a history, as a sequence of choices: drawn and shrunk by `proptest`, enumerated by the scenes, or read back from
//! a failure's report. All that the world does by chance is in it, so that the same sequence tells the same story.
//!
//! A choice is one event. The turn of a replica carries the fault that its effect meets, so a choice that is dropped takes its
//! fault along and leaves the others theirs: that is why it is no bare stream of numbers, and what makes stories shrink well. Calm
//! is zero everywhere. `proptest-state-machine` was left aside: its transitions are drawn from a model of the state, here all are
//! possible at any time and the world itself is the model.

use proptest::prelude::*;

/// What happens next. The order is that of shrinking: calmest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The first replica takes one read or one effect further.
    Turn,
    /// The same, until its round is over.
    Round,
    /// The second replica.
    OtherTurn,
    /// The same, until its round is over.
    OtherRound,
    /// A replica decides, and is held up before it acts.
    Think,
    /// Time passes.
    Sleep,
    /// A replica dies.
    Crash,
    /// A sweep points at the roles.
    Sweep,
    /// TFC's clock is set back; or the wall clock, the API server's, or all that is known of the time.
    Clock,
    /// A person asks for something by annotation.
    Wish,
    /// A person edits the spec.
    Spec,
    /// The value in the Secret: deleted with it, emptied, edited.
    Value,
    /// A tenant writes into the Secret's annotations.
    Annotation,
    /// A status is lost.
    Wipe,
    /// Something about the config.
    Config,
    /// Somebody uses TFC's own pages, or its policy changes.
    Page,
    /// A server refuses or is out of reach until it is said again.
    Outage,
    /// A role is deleted, with or without its namespace; or by force.
    Delete,
}

/// How often each is drawn.
const WEIGHTS: [(What, u8); 18] = [
    (What::Turn, 60),
    (What::Round, 14),
    (What::OtherTurn, 36),
    (What::OtherRound, 8),
    (What::Think, 6),
    (What::Sleep, 12),
    (What::Crash, 6),
    (What::Sweep, 4),
    (What::Clock, 3),
    (What::Wish, 8),
    (What::Spec, 4),
    (What::Value, 5),
    (What::Annotation, 5),
    (What::Wipe, 2),
    (What::Config, 6),
    (What::Page, 3),
    (What::Outage, 3),
    (What::Delete, 1),
];

const TOTAL: u8 = {
    let (mut total, mut at) = (0, 0);
    while at < WEIGHTS.len() {
        total += WEIGHTS[at].1;
        at += 1;
    }
    total
};

/// What the effect of a turn meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// The request does not arrive.
    Lost,
    /// It is carried out, and the reply does not arrive.
    ReplyLost,
    /// It is carried out later, and no reply arrives.
    Late,
    /// It is refused for good.
    Refused,
    /// It is carried out twice; a list that shifts while it is read.
    Doubled,
    /// It is refused for now.
    Limited,
}

impl Fault {
    pub const ALL: [Fault; 6] =
        [Fault::Lost, Fault::ReplyLost, Fault::Late, Fault::Refused, Fault::Doubled, Fault::Limited];
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    pub what: What,
    pub fault: Fault,
    /// Which of several, how long: whatever else is to be chosen.
    pub detail: u16,
}

impl Choice {
    pub const CALM: Choice = Choice { what: What::Turn, fault: Fault::None, detail: 0 };

    pub fn of(what: What, detail: u16) -> Choice {
        Choice { what, detail, ..Choice::CALM }
    }

    pub fn with(fault: Fault, detail: u16) -> Choice {
        Choice { what: What::Turn, fault, detail }
    }

    fn number(self) -> u32 {
        let what = WEIGHTS.iter().position(|(what, _)| *what == self.what).unwrap_or_default();
        let fault = Fault::ALL.iter().position(|fault| *fault == self.fault).map_or(0, |at| at + 1);
        u32::try_from(what << 20 | fault << 16).unwrap_or_default() | u32::from(self.detail)
    }

    fn from_number(number: u32) -> Option<Choice> {
        let (what, _) = WEIGHTS.get((number >> 20) as usize)?;
        let fault = match (number >> 16 & 0xf) as usize {
            0 => Fault::None,
            at => *Fault::ALL.get(at - 1)?,
        };
        Some(Choice { what: *what, fault, detail: (number & 0xffff) as u16 })
    }
}

/// All that is chosen in one history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Which of its start's variants it begins with.
    pub variant: u8,
    /// Which kinds of events it leaves out, a bit for each: a history with a little of everything hardly ever gets far with
    /// anything.
    pub without: u32,
    pub choices: Vec<Choice>,
}

impl History {
    pub fn new(variant: u8, choices: Vec<Choice>) -> History {
        History { variant, without: 0, choices }
    }

    /// The event, unless this history does without its kind.
    pub fn allows(&self, what: What) -> bool {
        self.without >> (what as u32) & 1 == 0
    }
}

impl std::fmt::Display for History {
    /// As the environment takes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:x}", self.variant, self.without)?;
        self.choices.iter().try_for_each(|choice| write!(f, ".{:x}", choice.number()))
    }
}

impl std::str::FromStr for History {
    type Err = ();

    fn from_str(text: &str) -> Result<History, ()> {
        let mut parts = text.split('.');
        let variant = parts.next().and_then(|part| part.parse().ok()).ok_or(())?;
        let mut numbers = parts.map(|part| u32::from_str_radix(part, 16).map_err(drop));
        let without = numbers.next().ok_or(())??;
        let choices = numbers.map(|number| Choice::from_number(number?).ok_or(())).collect::<Result<_, ()>>()?;
        Ok(History { variant, without, choices })
    }
}

/// Histories of at most that many events.
pub fn histories(events: usize) -> impl Strategy<Value = History> {
    let what = (0..TOTAL).prop_map(|at| {
        let mut below = 0;
        let drawn = WEIGHTS.iter().find(|(_, weight)| {
            below += weight;
            at < below
        });
        drawn.map_or(What::Turn, |(what, _)| *what)
    });
    let fault = (0_u8..24).prop_map(|at| match at.checked_sub(18) {
        Some(at) => Fault::ALL[usize::from(at)],
        None => Fault::None,
    });
    let choice = (what, fault, any::<u16>()).prop_map(|(what, fault, detail)| Choice { what, fault, detail });
    // Whatever replicas do is never left out.
    let without = (any::<u32>(), any::<u32>()).prop_map(|(a, b)| (a | b) & (u32::MAX << What::Crash as u32));
    let parts = (any::<u8>(), without, proptest::collection::vec(choice, 0..events));
    parts.prop_map(|(variant, without, choices)| History { variant, without, choices })
}

#[test]
fn a_history_reads_back_as_it_was_printed() {
    let choices = Fault::ALL.map(|fault| Choice { what: What::Delete, fault, detail: 0xfe01 }).to_vec();
    let history = History { variant: 3, without: 0x1_f000, choices };
    assert_eq!(history.to_string().parse(), Ok(history));
    assert_eq!("3".parse::<History>(), Err(()));
}
