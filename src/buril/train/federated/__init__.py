"""Federated training: clients train an adapter on data that stays with them, a server averages what they learnt."""
