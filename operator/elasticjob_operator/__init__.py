"""The ElasticJob operator."""
