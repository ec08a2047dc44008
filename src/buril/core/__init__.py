"""The house: settings, artifacts, stages, the store, the plan, plugins, events, errors, estimates."""
