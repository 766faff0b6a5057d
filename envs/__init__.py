"""Where agents act: environments by name, and demonstrations of experts in them.

A plain package of the checkout, not of the wheel.
"""

import gymnasium as gym

gym.register("PointNav-v0", "envs.pointnav:PointNav", max_episode_steps=50)
gym.register("HalfCheetahVelocity-v0", "envs.cheetah:make_velocity")
