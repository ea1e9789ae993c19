//! `kubectl tfc status`

use jiff::Timestamp;
use tfc_token_operator::api::TerraformCloudRole;

use crate::reach::Reach;
use crate::story::{Story, away, tell};
use crate::table::table;
use crate::{Failure, Output};

/// Prints one role's story, or a line for each role.
pub async fn print(reach: &Reach, role: Option<&str>, output: Output) -> Result<bool, Failure> {
    let now = Timestamp::now();
    let stories = match role {
        Some(name) => vec![tell(&reach.one::<TerraformCloudRole>(name).await?)],
        None => reach.all::<TerraformCloudRole>().await?.iter().map(tell).collect(),
    };
    match (output, role) {
        (Output::Json, _) => println!("{}", serde_json::to_string_pretty(&stories)?),
        (Output::Text, Some(_)) => stories.iter().for_each(|story| print!("{}", whole(story, now))),
        (Output::Text, None) if stories.is_empty() => eprintln!("no TerraformCloudRole found{}", place(reach)),
        (Output::Text, None) => print!("{}", lines(&stories, now)),
    }
    Ok(true)
}

fn place(reach: &Reach) -> String {
    if reach.everywhere { String::new() } else { format!(" in namespace {}", reach.namespace) }
}

fn whole(story: &Story, now: Timestamp) -> String {
    let mut text = format!("{}/{}   Ready={}, {}\n", story.namespace, story.name, story.ready, story.reason);
    let mut line = |name: &str, words: &str| text += &format!("  {name:<8}{words}\n");
    line("subject", &story.subject);
    line("Secret", &story.secret);
    match (&story.token_id, story.expires_at) {
        (Some(id), Some(at)) => line("token", &format!("{id}, lives until {at} ({})", away(at, now))),
        (Some(id), None) => line("token", id),
        (None, _) => line("token", "none"),
    }
    for (at, words) in story.doing.iter().enumerate() {
        line(if at == 0 { "doing" } else { "" }, words);
    }
    for (position, next) in story.next.iter().enumerate() {
        let name = if position == 0 { "next" } else { "" };
        match next.at {
            Some(at) => line(name, &format!("{at} ({}): {}", away(at, now), next.what)),
            None => line(name, &format!("soon: {}", next.what)),
        }
    }
    text
}

fn lines(stories: &[Story], now: Timestamp) -> String {
    let row = |story: &Story| {
        let expires = story.expires_at.map_or_else(|| "-".into(), |at| away(at, now));
        let next = story.next.first().map_or_else(
            || "-".to_owned(),
            |next| match next.at {
                Some(at) => format!("{}: {}", away(at, now), next.what),
                None => format!("soon: {}", next.what),
            },
        );
        vec![
            story.namespace.clone(),
            story.name.clone(),
            story.subject.clone(),
            story.ready.clone(),
            story.reason.clone(),
            expires,
            next,
        ]
    };
    let rows: Vec<Vec<String>> = stories.iter().map(row).collect();
    table(&["NAMESPACE", "ROLE", "SUBJECT", "READY", "REASON", "EXPIRES", "NEXT"], &rows)
}
