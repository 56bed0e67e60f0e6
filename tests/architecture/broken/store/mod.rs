pub type T = gateway_api::HTTPRoute;
