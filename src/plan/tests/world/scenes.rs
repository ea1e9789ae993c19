//! The scenes of the design's models, and some beyond: the straight history of each with every fault at every place in it, with the
//! second replica held up at every place of its own, and with every two of the faults that machines have.

use super::choices::{Choice, Fault, History, What};
use super::run::{Start, histories_wanted};
use super::starts::{ENDS, RIVALS, SLOTS, TEAMS, USERS};

/// The straight history of a scene: events, and turns of the first replica until all is served.
pub struct Scene {
    pub name: &'static str,
    pub start: &'static Start,
    pub variant: u8,
    pub script: &'static [Do],
}

pub enum Do {
    /// Turns until the role is at rest.
    Serve,
    Happen(What, u16),
}

use Do::{Happen, Serve};

const ROTATION: &[Do] = &[Serve, Happen(What::Wish, 0), Serve];
const INCIDENT: &[Do] = &[Serve, Happen(What::Wish, 8), Serve];
const DELETION: &[Do] = &[Serve, Happen(What::Delete, 16), Serve];
const OVERLAP: &[Do] = &[Serve, Happen(What::Wish, 0), Serve, Happen(What::Sleep, 7), Serve];
const LOST_VALUE: &[Do] = &[Serve, Happen(What::Value, 8), Serve];
/// The second replica is held up with a value in hand, while TFC refuses what the first would mint instead.
const HELD_UP: &[Do] = &[
    Serve,
    Happen(What::Wish, 0),
    Happen(What::OtherTurn, 0),
    Happen(What::OtherTurn, 0),
    Happen(What::OtherTurn, 0),
    Happen(What::OtherTurn, 0),
    Happen(What::Outage, 1),
    Serve,
    Happen(What::Sleep, 4),
    Serve,
    Happen(What::OtherRound, 0),
    Serve,
];
const LOST_ATTEMPT: &[Do] = &[Happen(What::Turn, 0), Serve, Happen(What::Crash, 0), Happen(What::Sleep, 4), Serve];

pub const MANY: &[Scene] = &[
    Scene { name: "first issue", start: &USERS, variant: 1, script: &[Serve] },
    Scene { name: "rotation", start: &USERS, variant: 1, script: ROTATION },
    Scene { name: "incident", start: &TEAMS, variant: 2, script: INCIDENT },
    Scene { name: "the end of an overlap", start: &USERS, variant: 0, script: OVERLAP },
    Scene { name: "a lost value", start: &TEAMS, variant: 1, script: LOST_VALUE },
    Scene { name: "a minter that is held up", start: &USERS, variant: 1, script: HELD_UP },
    Scene { name: "deletion", start: &TEAMS, variant: 2, script: DELETION },
    Scene { name: "the end of a lease", start: &ENDS, variant: 0, script: &[Serve, Happen(What::Sleep, 7), Serve] },
    Scene { name: "deletion that retains", start: &ENDS, variant: 1, script: DELETION },
];

pub const SLOT: &[Scene] = &[
    Scene { name: "a slot's first issue", start: &SLOTS, variant: 0, script: &[Serve] },
    Scene { name: "a slot's rotation", start: &SLOTS, variant: 0, script: ROTATION },
    Scene { name: "a legacy slot's rotation", start: &SLOTS, variant: 2, script: ROTATION },
    Scene { name: "a slot's lost value", start: &SLOTS, variant: 0, script: LOST_VALUE },
    Scene { name: "a slot's crash", start: &SLOTS, variant: 0, script: LOST_ATTEMPT },
    Scene { name: "a slot's deletion", start: &SLOTS, variant: 0, script: DELETION },
    Scene { name: "rivals", start: &RIVALS, variant: 0, script: DELETION },
];

impl Scene {
    /// The straight history, one choice a turn, with room at its end for what a fault leaves to do.
    pub fn straight(&self) -> Vec<Choice> {
        let mut world = (self.start.world)(self.variant);
        let mut choices = Vec::new();
        for part in self.script {
            match part {
                Happen(what, detail) => {
                    choices.push(Choice::of(*what, *detail));
                    world.happen(Choice::of(*what, *detail));
                }
                Serve => {
                    for _ in 0..60 {
                        choices.push(Choice::CALM);
                        world.happen(Choice::CALM);
                        if world.hands[0].is_idle() && world.hands[0].rested || world.cluster.roles[0].object.is_none()
                        {
                            break;
                        }
                    }
                }
            }
        }
        choices
    }

    /// Every one: a single fault or event at every place; the second replica held up; two faults of machines at every two places.
    fn placements(&self, length: usize) -> impl Iterator<Item = Placement> {
        let machines = machine_faults();
        let all: Vec<Choice> = machines.iter().copied().chain(everything_else()).collect();
        let one = (0..length).flat_map(move |at| all.clone().into_iter().map(move |fault| One((at, fault))));
        let cuts = (0..length).flat_map(move |at| (at..=length).map(move |until| (at, until)));
        let held_up = cuts.flat_map(|(at, until)| (1..14).map(move |turns| HeldUp { at, turns, until }));
        let struck: Vec<(usize, Choice)> =
            (0..length).flat_map(|at| machines.iter().map(move |fault| (at, *fault))).collect();
        let pairs = (0..struck.len()).flat_map(move |first| {
            let later: Vec<Struck> = struck[first + 1..].to_vec();
            let first = struck[first];
            later.into_iter().map(move |second| Two(first, second))
        });
        one.chain(held_up).chain(pairs)
    }

    fn history(&self, straight: &[Choice], placement: &Placement) -> History {
        History::new(
            self.variant,
            match placement {
                One(fault) => disturbed(straight, &[*fault]),
                Two(first, second) => disturbed(straight, &[*first, *second]),
                HeldUp { at, turns, until } => {
                    let mut choices = straight.to_vec();
                    choices.splice(*until..*until, [Choice::of(What::OtherRound, 0); 2]);
                    choices.splice(*at..*at, (0..*turns).map(|_| Choice::of(What::OtherTurn, 0)));
                    choices
                }
            },
        )
    }
}

type Struck = (usize, Choice);

enum Placement {
    One(Struck),
    Two(Struck, Struck),
    /// The second replica gets so far at one place, and goes on at another.
    HeldUp {
        at: usize,
        turns: usize,
        until: usize,
    },
}

use Placement::{HeldUp, One, Two};

/// Faults strike the turn at their place; events come before it.
fn disturbed(straight: &[Choice], faults: &[(usize, Choice)]) -> Vec<Choice> {
    let mut choices = straight.to_vec();
    for (at, fault) in faults.iter().rev() {
        if fault.what == What::Turn && choices[*at].what == What::Turn {
            (choices[*at].fault, choices[*at].detail) = (fault.fault, fault.detail);
        } else if fault.what != What::Turn {
            choices.insert(*at, *fault);
        }
    }
    choices.extend([Choice::of(What::Round, 0); 2]);
    choices
}

/// What the design's models have: requests lost, late, refused or doubled; a crash; the other replica; time; a wiped status; a
/// Secret that a user deletes.
fn machine_faults() -> Vec<Choice> {
    let faults = Fault::ALL.map(|fault| Choice::with(fault, 20));
    let events = [
        Choice::with(Fault::Late, 4001),
        Choice::of(What::Crash, 0),
        Choice::of(What::OtherRound, 0),
        Choice::of(What::OtherTurn, 0),
        Choice::of(What::Sleep, 4),
        Choice::of(What::Wipe, 0),
        Choice::of(What::Value, 0),
    ];
    faults.into_iter().chain(events).collect()
}

/// People, tenants, configs, clocks, outages.
fn everything_else() -> impl Iterator<Item = Choice> {
    let several = |what: What, step: u16, count: u16| (0..count).map(move |nth| Choice::of(what, nth * step));
    let of_secrets = several(What::Value, 8, 4).chain(several(What::Annotation, 8, 12));
    let of_people = several(What::Wish, 8, 4).chain(several(What::Spec, 8, 6)).chain(several(What::Delete, 8, 4));
    let of_servers = several(What::Config, 8, 9).chain(several(What::Page, 8, 4)).chain(several(What::Outage, 1, 4));
    let of_time = several(What::Sleep, 1, 8).chain([Choice::of(What::Clock, 4000), Choice::of(What::Clock, 3)]);
    of_secrets.chain(of_people).chain(of_servers).chain(of_time).chain([Choice::of(What::Sweep, 0)])
}

/// Every history of these scenes leaves everything in order; where fewer are wanted, every so manieth.
fn every_history_survives(scenes: &[Scene]) {
    for scene in scenes {
        let straight = scene.straight();
        let all = scene.placements(straight.len()).count();
        let wanted = (histories_wanted() as usize / 50).clamp(1, all);
        let step = all.div_ceil(wanted);
        for placement in scene.placements(straight.len()).step_by(step) {
            let history = scene.history(&straight, &placement);
            if let Err(why) = (scene.start.world)(scene.variant).run(&history) {
                panic!("{}: {why}\n{}", scene.name, scene.start.report(&history, 0));
            }
        }
        println!("{}: {} of {all} histories", scene.name, all.div_ceil(step));
    }
}

#[test]
fn every_placement_of_two_faults_in_the_life_of_a_token_is_survived() {
    every_history_survives(MANY);
}

#[test]
fn every_placement_of_two_faults_in_the_life_of_a_slots_token_is_survived() {
    every_history_survives(SLOT);
}

#[test]
fn the_straight_way_of_a_token_costs_one_call() {
    let calls = |scene: &Scene| {
        let mut world = (scene.start.world)(scene.variant);
        scene.straight().into_iter().for_each(|choice| world.happen(choice));
        world.calls
    };
    // A slot is looked at before each mint; what a deletion revokes is one call more.
    let counted: Vec<(&str, usize)> = MANY.iter().chain(SLOT).map(|scene| (scene.name, calls(scene))).collect();
    assert_eq!(calls(&MANY[0]), 1, "{counted:?}");
    assert_eq!(calls(&MANY[1]), 2, "{counted:?}");
    assert_eq!(calls(&SLOT[0]), 2, "{counted:?}");
    assert_eq!(calls(&SLOT[1]), 4, "{counted:?}");
}
