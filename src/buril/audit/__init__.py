"""Lineage and evidence: walks over what the manifests already say."""
