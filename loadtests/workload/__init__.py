"""What users ask and when: catalogues, popularity, load models, and scenarios made of them."""
