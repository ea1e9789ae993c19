//! The election against an API server of one Lease, by a clock that the test turns.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

/// An API server that keeps one Lease and checks resourceVersions.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Stored>>);

#[derive(Default)]
struct Stored {
    lease: Option<Value>,
    version: u64,
    writes: u64,
    refuse: bool,
    /// The next write is done but not answered.
    lose_reply: bool,
}

impl Server {
    fn client(&self) -> kube::Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.expect("a request's body");
                match server.answer(&parts.method, &body) {
                    Some((status, body)) => {
                        let body = Body::from(serde_json::to_vec(&body).expect("JSON"));
                        Ok::<_, std::io::Error>(Response::builder().status(status).body(body).expect("a response"))
                    }
                    None => std::future::pending().await,
                }
            }
        });
        kube::Client::new(service, "default")
    }

    fn answer(&self, method: &Method, body: &[u8]) -> Option<(StatusCode, Value)> {
        let mut stored = self.0.lock().expect("no panic while it was held");
        if stored.refuse {
            return Some(status(StatusCode::FORBIDDEN, "Forbidden"));
        }
        if *method == Method::GET {
            return Some(match &stored.lease {
                Some(lease) => (StatusCode::OK, lease.clone()),
                None => status(StatusCode::NOT_FOUND, "NotFound"),
            });
        }
        let mut sent: Value = serde_json::from_slice(body).expect("a Lease");
        let held = stored.lease.as_ref().map(|lease| lease["metadata"]["resourceVersion"].clone());
        match (method.as_str(), held) {
            ("POST", Some(_)) => return Some(status(StatusCode::CONFLICT, "AlreadyExists")),
            ("PUT", None) => return Some(status(StatusCode::NOT_FOUND, "NotFound")),
            ("PUT", Some(held)) if sent["metadata"]["resourceVersion"] != held => {
                return Some(status(StatusCode::CONFLICT, "Conflict"));
            }
            _ => {}
        }
        stored.version += 1;
        stored.writes += 1;
        sent["metadata"]["resourceVersion"] = json!(stored.version.to_string());
        stored.lease = Some(sent.clone());
        (!std::mem::take(&mut stored.lose_reply)).then_some((StatusCode::OK, sent))
    }

    fn with<T>(&self, look: impl FnOnce(&mut Stored) -> T) -> T {
        look(&mut self.0.lock().expect("no panic while it was held"))
    }

    fn holder(&self) -> Value {
        self.with(|stored| stored.lease.as_ref().map_or(Value::Null, |lease| lease["spec"]["holderIdentity"].clone()))
    }

    /// Writes as another party would.
    fn set_holder(&self, holder: &str, seconds: i32) {
        self.with(|stored| {
            stored.version += 1;
            stored.lease = Some(json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": LEASE_NAME, "resourceVersion": stored.version.to_string()},
                "spec": {"holderIdentity": holder, "leaseDurationSeconds": seconds, "leaseTransitions": 4},
            }));
        });
    }
}

fn status(code: StatusCode, reason: &str) -> (StatusCode, Value) {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "reason": reason, "code": code.as_u16()});
    (code, body)
}

/// A clock that stands still until it is turned.
#[derive(Clone)]
struct Hands(Arc<AtomicU64>);

impl Hands {
    fn new() -> (Hands, Clock) {
        let hands = Hands(Arc::default());
        let (start, turned) = (BootInstant::now(), Arc::clone(&hands.0));
        let clock = Arc::new(move || start + Duration::from_secs(turned.load(Ordering::SeqCst)));
        (hands, clock)
    }

    fn turn(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

fn candidate(server: &Server, identity: &str) -> Candidate {
    Candidate {
        client: server.client(),
        namespace: "operator".to_owned(),
        identity: identity.to_owned(),
        // Real time passes between tries and bounds a request; the Lease's own times are turned by hand.
        timing: Timing {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_millis(5),
        },
        purpose: Purpose::Serve,
        heard: Arc::new(|_| ()),
    }
}

async fn until(mut holds: impl FnMut() -> bool) {
    let all = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("the condition comes true");
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it resolves")
}

#[tokio::test]
async fn the_first_leads_renews_and_hands_over_to_the_second() {
    let server = Server::default();
    let (_, clock) = Hands::new();
    let first = soon(Leadership::acquire_by(candidate(&server, "first"), clock.clone())).await;
    assert_eq!(first.remaining(), Some(Duration::from_secs(15)));
    assert_eq!(first.ensure(), Ok(()));
    until(|| server.with(|stored| stored.writes) > 3).await;
    assert_eq!(server.holder(), "first");

    let second = tokio::spawn(Leadership::acquire_by(candidate(&server, "second"), clock));
    soon(first.release(Farewell::HandOver)).await;
    assert_eq!(first.ensure(), Err(NotLeading));
    let second = soon(second).await.expect("the second leads");
    assert!(second.is_leader() && !first.is_leader());
    assert_eq!(server.holder(), "second");
    let transitions =
        server.with(|stored| stored.lease.as_ref().map(|lease| lease["spec"]["leaseTransitions"].clone()));
    assert_eq!(transitions, Some(json!(2)));
    tokio::select! {
        biased;
        () = first.lost() => unreachable!("a release is no loss"),
        () = std::future::ready(()) => {}
    }
    soon(first.release(Farewell::HandOver)).await;
}

#[tokio::test]
async fn a_silent_holder_is_replaced_only_after_its_whole_duration_as_seen_here() {
    let server = Server::default();
    server.set_holder("gone", 60);
    let (hands, clock) = Hands::new();
    let mut elector = Elector::new(candidate(&server, "me"), clock);
    let try_once = Duration::from_secs(30);
    assert_eq!(elector.attempt(try_once).await.expect("an answer"), Attempt::HeldBy("gone".into()));
    hands.turn(59);
    assert_eq!(elector.attempt(try_once).await.expect("an answer"), Attempt::HeldBy("gone".into()));
    server.set_holder("gone", 60);
    hands.turn(1);
    assert_eq!(elector.attempt(try_once).await.expect("an answer"), Attempt::HeldBy("gone".into()), "it was renewed");
    hands.turn(60);
    assert!(matches!(elector.attempt(try_once).await, Ok(Attempt::Leads { .. })));
    assert_eq!(server.holder(), "me");
}

#[tokio::test]
async fn leadership_ends_by_the_clock_and_is_lost_when_another_took_over() {
    let server = Server::default();
    let (hands, clock) = Hands::new();
    let leadership = soon(Leadership::acquire_by(candidate(&server, "me"), clock)).await;
    server.set_holder("other", 15);
    soon(leadership.lost()).await;
    assert_eq!(leadership.remaining(), None);
    hands.turn(100);
    soon(leadership.release(Farewell::HandOver)).await;
    assert_eq!(server.holder(), "other", "what is another's is not cleared");
}

#[tokio::test]
async fn after_a_suspension_nothing_is_sent_though_the_lease_could_be_renewed() {
    let server = Server::default();
    let (hands, clock) = Hands::new();
    let leadership = soon(Leadership::acquire_by(candidate(&server, "me"), clock)).await;
    hands.turn(3600);
    // At once, before the renewing task has had its turn.
    assert_eq!(leadership.ensure(), Err(NotLeading));
    soon(leadership.lost()).await;
    assert_eq!(leadership.ensure(), Err(NotLeading));
}

#[tokio::test]
async fn gives_up_at_the_renew_deadline_before_the_others_take_over() {
    let server = Server::default();
    let (hands, clock) = Hands::new();
    let leadership = soon(Leadership::acquire_by(candidate(&server, "me"), clock)).await;
    server.with(|stored| stored.refuse = true);
    hands.turn(9);
    assert!(leadership.is_leader());
    hands.turn(2);
    soon(leadership.lost()).await;
    assert_eq!(leadership.ensure(), Err(NotLeading));
}

#[tokio::test]
async fn a_write_whose_answer_got_lost_is_found_out_and_renewed() {
    let server = Server::default();
    let (_, clock) = Hands::new();
    server.with(|stored| stored.lose_reply = true);
    let mut elector = Elector::new(candidate(&server, "me"), clock);
    let error = elector.attempt(Duration::from_millis(20)).await.expect_err("no answer");
    assert!(error.to_string().starts_with("no answer"), "{error}");
    assert_eq!(server.holder(), "me", "but it landed");
    assert!(matches!(elector.attempt(Duration::from_secs(30)).await, Ok(Attempt::Leads { .. })));
    soon(elector.release(Farewell::HandOver, Duration::from_secs(30))).await.expect("handed over");
    assert_eq!(server.holder(), "");
}

#[tokio::test]
async fn of_two_that_saw_the_same_lease_one_wins() {
    let server = Server::default();
    server.set_holder("", 1);
    let (_, clock) = Hands::new();
    let mut first = Elector::new(candidate(&server, "first"), clock.clone());
    let mut second = Elector::new(candidate(&server, "second"), clock);
    let timeout = Duration::from_secs(30);
    assert!(matches!(first.attempt(timeout).await, Ok(Attempt::Leads { .. })));
    assert_eq!(second.attempt(timeout).await.expect("an answer"), Attempt::HeldBy("first".into()));
    // The first's knowledge gets old; its next write must fail, not overwrite.
    server.set_holder("second", 15);
    assert!(matches!(first.attempt(timeout).await, Err(lease::LeaseError::Conflict)));
    assert_eq!(first.attempt(timeout).await.expect("an answer"), Attempt::HeldBy("second".into()));
}

#[tokio::test]
async fn a_deleted_lease_is_made_anew_and_a_refusal_names_the_mend() {
    let server = Server::default();
    let (_, clock) = Hands::new();
    let mut elector = Elector::new(candidate(&server, "me"), clock);
    let timeout = Duration::from_secs(30);
    assert!(matches!(elector.attempt(timeout).await, Ok(Attempt::Leads { .. })));
    server.with(|stored| stored.lease = None);
    elector.attempt(timeout).await.expect_err("a PUT of what is gone");
    assert!(matches!(elector.attempt(timeout).await, Ok(Attempt::Leads { .. })));
    server.with(|stored| stored.refuse = true);
    let error = elector.attempt(timeout).await.expect_err("refused").to_string();
    assert!(error.contains("get, create and update on leases"), "{error}");
}

#[tokio::test]
async fn without_an_election_leadership_is_for_good() {
    let leadership = Leadership::always();
    assert_eq!(leadership.remaining(), Some(Duration::MAX));
    assert_eq!(leadership.ensure(), Ok(()));
    leadership.release(Farewell::HandOver).await;
    assert!(leadership.is_leader());
}

#[test]
fn identities_differ_and_start_with_the_pods_name() {
    let (one, two) = (identity(Some("pod-0")).expect("random"), identity(Some("pod-0")).expect("random"));
    assert!(one.starts_with("pod-0_") && one != two, "{one} {two}");
    assert!(!identity(Some(" ")).expect("random").starts_with('_'));
}

#[tokio::test]
async fn an_uninstall_has_the_leader_hand_over_and_the_others_stand_back_until_it_gives_up() {
    let server = Server::default();
    let (hands, clock) = Hands::new();
    let leader = soon(Leadership::acquire_by(candidate(&server, "leader"), clock.clone())).await;
    let uninstall = Candidate { purpose: Purpose::Uninstall, ..candidate(&server, "uninstall") };
    let uninstall = tokio::spawn(Leadership::acquire_by(uninstall, clock.clone()));
    soon(leader.asked_back()).await;
    assert!(leader.is_leader(), "until what is under way is finished");
    let mut standby = Elector::new(candidate(&server, "standby"), clock.clone());
    let timeout = Duration::from_secs(30);
    assert_eq!(standby.attempt(timeout).await.expect("an answer"), Attempt::StandsBack);
    soon(leader.release(Farewell::HandOver)).await;
    assert_ne!(server.holder(), "standby");

    let uninstall = soon(uninstall).await.expect("it leads");
    assert_eq!(server.holder(), "uninstall");
    assert_eq!(standby.attempt(timeout).await.expect("an answer"), Attempt::StandsBack);
    soon(uninstall.release(Farewell::GivenUp)).await;
    assert!(matches!(standby.attempt(timeout).await, Ok(Attempt::Leads { asked_back: false, .. })));
    // A minute later its renewal finds no mark either.
    hands.turn(5);
    assert!(matches!(standby.attempt(timeout).await, Ok(Attempt::Leads { asked_back: false, .. })));
}

#[tokio::test]
async fn after_an_uninstall_that_is_done_replicas_stand_back_until_nobody_can_remove_them_any_more() {
    let server = Server::default();
    let (hands, clock) = Hands::new();
    let uninstall = Candidate { purpose: Purpose::Uninstall, ..candidate(&server, "uninstall") };
    let uninstall = soon(Leadership::acquire_by(uninstall, clock.clone())).await;
    soon(uninstall.release(Farewell::Uninstalled)).await;
    assert_eq!(server.holder(), "");
    let mut standby = Elector::new(candidate(&server, "standby"), clock);
    let timeout = Duration::from_secs(30);
    assert_eq!(standby.attempt(timeout).await.expect("an answer"), Attempt::StandsBack);
    hands.turn(119);
    assert_eq!(standby.attempt(timeout).await.expect("an answer"), Attempt::StandsBack);
    hands.turn(1);
    assert!(matches!(standby.attempt(timeout).await, Ok(Attempt::Leads { asked_back: false, .. })));
}

#[tokio::test]
async fn a_mark_goes_with_the_uninstall_that_does_not_get_the_lease() {
    let server = Server::default();
    server.set_holder("leader", 15);
    let (_, clock) = Hands::new();
    let uninstall = Candidate { purpose: Purpose::Uninstall, ..candidate(&server, "uninstall") };
    let mut elector = Elector::new(uninstall.clone(), clock.clone());
    let timeout = Duration::from_secs(30);
    assert_eq!(elector.attempt(timeout).await.expect("an answer"), Attempt::HeldBy("leader".into()));
    let mut standby = Elector::new(candidate(&server, "standby"), clock);
    assert_eq!(standby.attempt(timeout).await.expect("an answer"), Attempt::StandsBack);
    let other = Candidate { purpose: Purpose::Uninstall, ..candidate(&server, "another") };
    soon(Leadership::give_up(other)).await;
    assert_eq!(standby.attempt(timeout).await.expect("an answer"), Attempt::StandsBack, "it is not that one's");
    soon(Leadership::give_up(uninstall)).await;
    assert_eq!(standby.attempt(timeout).await.expect("an answer"), Attempt::HeldBy("leader".into()));
    assert_eq!(server.holder(), "leader");
}
