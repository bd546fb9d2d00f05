//! What a mail says, made of the facts of its message and of what holds now. The text and the HTML of a mail
//! are made from the same letter.

use askama::Template;
use domain::{Fault, IdentityUse, Mail, Organization, OrganizationStatus, SendEmail, Slug};
use store::Store;

use crate::Sender;

/// A mail before it has a recipient.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) subject: String,
    /// What happened comes first: some people see no more than that.
    paragraphs: Vec<String>,
    facts: Vec<(&'static str, String)>,
    link: Option<Link>,
    /// Why somebody gets it.
    reason: String,
    /// The mailing list, as project and organization.
    pub(crate) list: Option<(Slug, Slug)>,
}

#[derive(Debug)]
struct Link {
    label: &'static str,
    url: String,
}

#[derive(Template)]
#[template(path = "letter.txt")]
struct Text<'a> {
    letter: &'a Letter,
}

/// Its styles stand in the elements, as mail programs drop style sheets.
#[derive(Template)]
#[template(path = "letter.html")]
struct Html<'a> {
    letter: &'a Letter,
}

impl Letter {
    pub(crate) fn text(&self) -> String {
        let text = Text { letter: self }.render();
        text.expect("a template of texts")
    }

    pub(crate) fn html(&self) -> String {
        let html = Html { letter: self }.render();
        html.expect("a template of texts")
    }
}

/// Writes the letter; `None`: what it is about is gone.
pub(crate) async fn write(
    store: &Store,
    sender: &Sender,
    message: &SendEmail,
) -> Result<Option<Letter>, Fault> {
    let organization = store.organization(message.organization).await?;
    let Some(organization) = organization else {
        return Ok(None);
    };
    let letter = match &message.mail {
        Mail::UnableToFetchCommits {
            version,
            name,
            cause,
            remedy,
            ..
        } => Letter {
            subject: "Unable to Fetch Commits".into(),
            paragraphs: vec![cause.clone(), remedy.clone()],
            facts: vec![
                ("Repository", name.to_string()),
                ("Release", version.to_string()),
                ("Organization", organization.name.clone()),
            ],
            link: None,
            reason: reason(
                &organization,
                "you reported the release, or own the organization",
            ),
            list: None,
        },
        Mail::FetchingHealed {
            name,
            since,
            failures,
            ..
        } => Letter {
            subject: "Commits Can Be Fetched Again".into(),
            paragraphs: vec![
                format!("Commits of {name} are fetched again. There is nothing to do."),
                "You were told before that they could not be.".into(),
            ],
            facts: vec![
                ("Repository", name.to_string()),
                ("Failing since", since.to_string()),
                ("Failures", failures.to_string()),
                ("Organization", organization.name.clone()),
            ],
            link: None,
            reason: reason(&organization, "you were told of the failure"),
            list: None,
        },
        Mail::IdentityInvalid {
            provider,
            url,
            during,
        } => Letter {
            subject: match during {
                IdentityUse::FetchingCommits => "Unable to Fetch Commits".into(),
                IdentityUse::Other => "Action Required".into(),
            },
            paragraphs: vec![
                format!("{provider} no longer accepts the account that you connected."),
                "It was disconnected. Connect it again to go on.".into(),
            ],
            facts: vec![
                ("Provider", provider.clone()),
                ("Organization", organization.name.clone()),
            ],
            link: Some(Link {
                label: "Connect it again",
                url: url.clone(),
            }),
            reason: reason(&organization, "the account is yours"),
            list: None,
        },
        Mail::Deployed {
            release,
            version,
            deploy,
            committed,
        } => {
            let why = match committed {
                true => "commits of yours are in the release",
                false => "you asked to hear of its deploys",
            };
            let known = store.release(organization.id, version).await?;
            let deploy = store.deploy(*release, *deploy).await?;
            let (Some(known), Some(deploy)) = (known, deploy) else {
                return Ok(None);
            };
            let ids: Vec<_> = known.projects.iter().copied().collect();
            let projects = store.projects_by_id(&ids).await?;
            let slugs: Vec<_> = projects.iter().map(|it| it.slug.as_str()).collect();
            let mut facts = vec![
                ("Environment", deploy.environment.to_string()),
                ("Finished", deploy.finished.to_string()),
                ("Commits", known.commit_count().to_string()),
                ("Projects", slugs.join(", ")),
                ("Organization", organization.name.clone()),
            ];
            facts.extend(deploy.name.map(|name| ("Deploy", name)));
            let environment = &deploy.environment;
            Letter {
                // An activity's subject says that it belongs to something.
                subject: format!("Re: {version} was deployed to {environment}"),
                paragraphs: vec![format!("{version} was deployed to {environment}.")],
                facts,
                link: deploy.url.map(|url| Link {
                    label: "See the deploy",
                    url,
                }),
                reason: reason(&organization, why),
                // One mail for all of the projects, from the last of them.
                list: projects
                    .last()
                    .map(|it| (it.slug.clone(), organization.slug.clone())),
            }
        }
        Mail::OrganizationGivenUp {
            user,
            address,
            at,
            due,
            url,
        } => {
            // Restored meanwhile, there is nothing to tell.
            if organization.status == OrganizationStatus::Active {
                return Ok(None);
            }
            let who = store.user(*user).await?;
            let who = who.map_or_else(
                || user.to_string(),
                |who| format!("{} ({})", who.name, who.email),
            );
            let mut facts = vec![
                ("Organization", organization.name.clone()),
                ("Asked for by", who),
            ];
            facts.extend(address.map(|address| ("From", address.to_string())));
            facts.push(("At", at.to_string()));
            facts.push(("Deleted from", due.to_string()));
            let name = &organization.name;
            Letter {
                subject: format!("{}Organization Queued for Deletion", sender.subject_prefix),
                paragraphs: vec![
                    format!("{name} is to be deleted, with all of its projects."),
                    format!(
                        "Until then any of its owners can restore it, by a PUT of \
                         {{\"cancelDeletion\": true}} to {url}"
                    ),
                ],
                facts,
                // A browser could only look there.
                link: None,
                reason: reason(&organization, "you are one of its owners"),
                list: None,
            }
        }
    };
    Ok(Some(letter))
}

fn reason(organization: &Organization, why: &str) -> String {
    let name = &organization.name;
    format!("You get this mail as a member of {name}, because {why}.")
}
