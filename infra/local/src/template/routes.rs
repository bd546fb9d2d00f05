//! The routes of both gateways, read from the resources that make them up.
//!
//! It exists because a REST API spells a path over a chain of resources, and an HTTP API in one key.
//! It must not know how a request is matched, nor what an event looks like.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::references::references;
use super::resources::{Resource, Resources};
use super::types::{HTTP_INTEGRATION, HTTP_ROUTE, REST_METHOD, REST_RESOURCE, REST_STAGE};
use super::{Gateway, Route};

impl Resources<'_> {
    pub(super) fn routes(&self) -> Result<Vec<Route>> {
        let mut routes = self.each(REST_METHOD, |method| self.rest_route(method))?;
        routes.extend(self.each(HTTP_ROUTE, |route| self.http_route(route))?);
        Ok(routes)
    }

    fn rest_route(&self, method: &Resource) -> Result<Route> {
        let integration = method.get("Integration");
        ensure!(
            integration["Type"] == "AWS_PROXY",
            "only AWS_PROXY integrations are emulated"
        );
        self.check_authorization(method)?;
        Ok(Route {
            gateway: Gateway::Rest {
                stage: self.stage_of(method.get("RestApiId"))?,
            },
            method: any_or(&self.required_text(method, "HttpMethod")?),
            path: self.rest_path(method.get("ResourceId"), 0)?,
            function: self.function_name(&integration["Uri"])?,
        })
    }

    /// The path of a resource, through its parents up to the root.
    fn rest_path(&self, resource_id: &Value, depth: usize) -> Result<String> {
        ensure!(depth < 30, "its resources are their own parents");
        let Some(resource) = self.find(REST_RESOURCE, resource_id) else {
            let root = &resource_id["Fn::GetAtt"][1];
            ensure!(root == "RootResourceId", "{resource_id} is not a resource");
            return Ok("/".to_owned());
        };
        let parent = self.rest_path(resource.get("ParentId"), depth + 1)?;
        let part = self.required_text(resource, "PathPart")?;
        Ok(format!("{}/{part}", parent.trim_end_matches('/')))
    }

    fn stage_of(&self, api: &Value) -> Result<String> {
        let stage = self
            .of(REST_STAGE)
            .find(|stage| references(stage.get("RestApiId")) == references(api));
        self.required_text(stage.context("its API has no stage")?, "StageName")
    }

    fn http_route(&self, route: &Resource) -> Result<Route> {
        self.check_authorization(route)?;
        let integration = self
            .find(HTTP_INTEGRATION, route.get("Target"))
            .context("its Target is not one of the template's integrations")?;
        ensure!(
            integration.get("IntegrationType") == "AWS_PROXY"
                && self.required_text(integration, "PayloadFormatVersion")? == "2.0",
            "only AWS_PROXY integrations with payload format 2.0 are emulated"
        );
        let key = self.required_text(route, "RouteKey")?;
        let (method, path) = key.split_once(' ').unwrap_or(("ANY", &key));
        Ok(Route {
            gateway: Gateway::Http,
            method: any_or(method),
            path: path.to_owned(),
            function: self.function_name(integration.get("IntegrationUri"))?,
        })
    }

    fn check_authorization(&self, route: &Resource) -> Result<()> {
        let kind = self.text(route.get("AuthorizationType"))?;
        ensure!(
            kind.is_none_or(|kind| kind == "NONE"),
            "authorizers are not emulated, and a route must not be open here that is closed on AWS"
        );
        Ok(())
    }
}

fn any_or(method: &str) -> Option<String> {
    (method != "ANY").then(|| method.to_owned())
}
