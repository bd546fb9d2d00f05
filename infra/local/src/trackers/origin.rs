//! Where a clone came from, as far as that is a host of repositories that is simulated.
//!
//! It exists so that clients that look at a clone's remote find it among the organization's repositories.
//! It must not know who adds it there.

use super::Provider;

/// A repository at a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// GitHub or Azure DevOps.
    pub provider: Provider,
    /// `<owner>/<name>` at GitHub, `<project>/<name>` at Azure DevOps.
    pub name: String,
    /// Its URL for `git clone`, without credentials.
    pub url: String,
}

impl Origin {
    /// Reads the URL of a remote, in any form that git takes.
    pub(super) fn parse(remote: &str) -> Option<Self> {
        let (host, path) = match remote.split_once("://") {
            Some((_, rest)) => rest.split_once('/')?,
            // The short form of ssh.
            None => remote.split_once(':')?,
        };
        let host = host.rsplit('@').next()?.to_ascii_lowercase();
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let segments: Vec<_> = path.split('/').collect();
        let (provider, name) = match (host.as_str(), &segments[..]) {
            ("github.com", [owner, name]) => (Provider::Github, format!("{owner}/{name}")),
            ("dev.azure.com", [_, project, "_git", name]) => {
                (Provider::Vsts, format!("{project}/{name}"))
            }
            _ => return None,
        };
        let url = format!("https://{host}/{path}");
        Some(Self {
            provider,
            name,
            url,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_known_by_every_form_of_its_urls() {
        let found = |remote| {
            let origin = Origin::parse(remote)?;
            Some((origin.provider, origin.name, origin.url))
        };
        let url = "https://github.com/Octo/Picket";
        let github = Some((Provider::Github, "Octo/Picket".to_owned(), url.to_owned()));
        for remote in [
            "https://github.com/Octo/Picket",
            "https://somebody:secret@GitHub.com/Octo/Picket.git/",
            "ssh://git@github.com/Octo/Picket.git",
            "git@github.com:Octo/Picket.git",
        ] {
            assert_eq!(found(remote), github, "{remote}");
        }
        let url = "https://dev.azure.com/octo/web/_git/backend";
        let azure = Some((Provider::Vsts, "web/backend".to_owned(), url.to_owned()));
        assert_eq!(found(url), azure);
        assert_eq!(
            found("https://octo@dev.azure.com/octo/web/_git/backend"),
            azure
        );
        for other in [
            "/home/ana/web",
            "../main",
            "https://gitlab.com/octo/picket.git",
            "https://github.com/octo",
            "https://dev.azure.com/octo/web",
        ] {
            assert_eq!(found(other), None, "{other}");
        }
    }
}
