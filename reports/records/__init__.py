"""What a run is made of on disk: schema, samples, ticks, aggregate."""
