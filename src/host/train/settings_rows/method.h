/* Settings of the group Method: rows of the table in settings_table.c, which says what SETTING is. */
SETTING(.name = "method", .type = AM_SET_CHOICE, .offset = FIELD(method), .fallback = "mdlam",
        .help = "training method")
SETTING(.name = "rho", .type = AM_SET_REAL, .offset = FIELD(rho), .fallback = "1e-3", .min = 0,
        .max = NO_LIMIT, .min_open = 1, .symbol = "rho",
        .help =
            "penalty on z - (W a + b); the loss is a sum over samples, so rho is relative to their number")
SETTING(.name = "mu", .type = AM_SET_REAL, .offset = FIELD(mu), .fallback = "0", .min = 0, .max = NO_LIMIT,
        .symbol = "mu", .help = "ridge penalty on the weights")
SETTING(.name = "accel", .type = AM_SET_CHOICE, .offset = FIELD(accel), .fallback = "nesterov-guarded",
        .choices = accel_names, .symbol = "w_k",
        .help = "momentum; nesterov-guarded redoes a block without momentum when its objective does not fall")
SETTING(.name = "step", .type = AM_SET_CHOICE, .offset = FIELD(step), .fallback = "cauchy",
        .choices = step_names, .symbol = "theta",
        .help = "weight step; cauchy: the best step along the gradient; backtracking: as published; exact: "
                "solve the layer's least squares")
SETTING(.name = "form", .type = AM_SET_CHOICE, .offset = FIELD(form), .fallback = "auto",
        .choices = form_names,
        .help = "products behind a weight step; normal: on normal matrices, sample: on samples; auto: the "
                "cheaper one for each layer")
SETTING(.name = "eps-start", .type = AM_SET_REAL, .offset = FIELD(eps_start), .fallback = "100", .min = 0,
        .max = NO_LIMIT, .min_open = 1, .symbol = "eps_0",
        .help = "relaxation of a = h(z) in the first sweep")
SETTING(.name = "eps-factor", .type = AM_SET_REAL, .offset = FIELD(eps_factor), .fallback = "0.5", .min = 0,
        .max = 1, .min_open = 1, .max_open = 1,
        .help = "what the relaxation is multiplied by after every sweep")
SETTING(.name = "eps-floor", .type = AM_SET_REAL, .offset = FIELD(eps_floor), .fallback = "1e-2", .min = 0,
        .max = NO_LIMIT, .min_open = 1,
        .help = "where the relaxation ends; it bounds how far a unit moves in one sweep")
SETTING(.name = "eps-restart", .type = AM_SET_COUNT, .offset = FIELD(eps_restart), .fallback = "0", .min = 0,
        .max = 1e9, .unit = "sweeps",
        .help = "mdlam, tiam: how often the relaxation goes back to --eps-again; 0: never")
SETTING(.name = "eps-again", .type = AM_SET_REAL, .offset = FIELD(eps_again), .fallback = "1", .min = 0,
        .max = NO_LIMIT, .min_open = 1, .help = "mdlam, tiam: relaxation after a restart")
SETTING(.name = "preset", .type = AM_SET_CHOICE, .offset = FIELD(preset), .fallback = "default",
        .choices = preset_names,
        .help =
            "what settings that are not given become; default: the table's values and what the method "
            "needs; paper: its published values; best: those that were best on samples held out of the "
            "training data, by the kind of data, with re-lift, restarts and growing penalties, which give "
            "up monotone descent for accuracy")
SETTING(.name = "mu-per-sample", .type = AM_SET_REAL, .offset = FIELD(mu_per_sample), .fallback = "0",
        .min = 0, .max = NO_LIMIT,
        .help = "added to --mu, times the number of training samples, so that one value suits small and "
                "large data")
SETTING(.name = "loss-weight", .type = AM_SET_REAL, .offset = FIELD(loss_weight), .fallback = "1", .min = 0,
        .max = NO_LIMIT, .min_open = 1,
        .help = "factor on the loss in the objective; only its ratio to the penalties matters")
SETTING(.name = "relift", .type = AM_SET_COUNT, .offset = FIELD(relift), .fallback = "0", .min = 0,
        .max = 1e9, .unit = "sweeps",
        .help =
            "how often z and a are computed anew by a forward pass; 0: never, which is what theorems assume")
SETTING(.name = "p1", .type = AM_SET_REAL, .offset = FIELD(p1), .fallback = "0.7", .min = 0, .max = 1,
        .symbol = "p1", .help = "tiam: inertia of the point a block steps from")
SETTING(.name = "p2", .type = AM_SET_REAL, .offset = FIELD(p2), .fallback = "0.7", .min = 0, .max = 1,
        .symbol = "p2", .help = "tiam: inertia of the point where the gradient is taken")
SETTING(.name = "p3", .type = AM_SET_REAL, .offset = FIELD(p3), .fallback = "0.3", .min = 0, .max = 1,
        .max_open = 1, .symbol = "p3", .help = "tiam: how far a block goes beyond its result")
SETTING(.name = "guard", .type = AM_SET_CHOICE, .offset = FIELD(guard), .fallback = "yes",
        .choices = no_yes_names,
        .help = "tiam: redo a block without inertia when its objective does not fall (mdlam: see --accel)")
SETTING(.name = "gamma", .type = AM_SET_REAL, .offset = FIELD(gamma), .fallback = "1", .min = 0,
        .max = NO_LIMIT, .min_open = 1, .symbol = "gamma", .help = "bcd: penalty on a - h(z)")
SETTING(.name = "nu", .type = AM_SET_REAL, .offset = FIELD(nu), .fallback = "1e-6", .min = 0, .max = NO_LIMIT,
        .min_open = 1, .symbol = "nu",
        .help = "dladmm: penalty on z - (W a + b) and a - h(z) of the hidden layers; --rho is the output "
                "layer's. radmm: "
                "penalty on a - a_prev - h(z) of the blocks")
SETTING(.name = "prox-w", .type = AM_SET_REAL, .offset = FIELD(prox_w), .fallback = "1", .min = 0,
        .max = NO_LIMIT, .symbol = "alpha",
        .help = "bcd, dladmm with --step exact, radmm: weight of the squared change of W in its block")
SETTING(.name = "prox-z", .type = AM_SET_REAL, .offset = FIELD(prox_z), .fallback = "1", .min = 0,
        .max = NO_LIMIT, .symbol = "alpha", .help = "bcd, radmm: the same for hidden z")
SETTING(.name = "prox-a", .type = AM_SET_REAL, .offset = FIELD(prox_a), .fallback = "0", .min = 0,
        .max = NO_LIMIT, .help = "bcd, radmm: the same for hidden a")
SETTING(.name = "prox-out", .type = AM_SET_REAL, .offset = FIELD(prox_out), .fallback = "1", .min = 0,
        .max = NO_LIMIT, .symbol = "alpha", .help = "bcd: the same for the output a")
SETTING(.name = "penalty-every", .type = AM_SET_COUNT, .offset = FIELD(penalty_every), .fallback = "0",
        .min = 0, .max = 1e9, .unit = "sweeps",
        .help = "dladmm: how often penalties are multiplied by --rho-factor and --nu-factor; 0: never")
SETTING(.name = "rho-factor", .type = AM_SET_REAL, .offset = FIELD(rho_factor), .fallback = "10", .min = 0,
        .max = NO_LIMIT, .min_open = 1, .help = "dladmm: factor on --rho every --penalty-every sweeps")
SETTING(.name = "nu-factor", .type = AM_SET_REAL, .offset = FIELD(nu_factor), .fallback = "1", .min = 0,
        .max = NO_LIMIT, .min_open = 1, .help = "dladmm: factor on --nu every --penalty-every sweeps")
SETTING(.name = "beta", .type = AM_SET_REAL, .offset = FIELD(beta), .fallback = "2", .min = 0,
        .max = NO_LIMIT, .min_open = 1, .symbol = "beta",
        .help = "radmm: penalty on the head's Z - (W a + b), which also has a multiplier; descent needs it "
                "above --loss-weight (--rho is the blocks' penalty on z - (W a + b), --nu that on "
                "a - a_prev - h(z), --mu lambda, --prox-w omega, --prox-z and --prox-a tau)")
SETTING(.name = "split", .type = AM_SET_CHOICE, .offset = FIELD(split), .fallback = "3",
        .choices = split_names, .choice_first = 2,
        .help =
            "radmm: variables of a residual block; 3: W, z, a, each minimised exactly, relu only; 2: W, a "
            "by gradient steps whose length is found by trial, any activation")
SETTING(.name = "order", .type = AM_SET_CHOICE, .offset = FIELD(order), .fallback = "serial",
        .choices = order_names,
        .help = "radmm: order of blocks; serial: first to last; wavefront: the same results from blocks of "
                "several sweeps at once, one per thread; jacobi: all layers of a sweep at once from old "
                "values of the others, without any guarantee of descent: raise --prox-z and --prox-a")
SETTING(.name = "batch", .type = AM_SET_COUNT, .offset = FIELD(batch), .fallback = "250", .min = 0,
        .max = 2147483647.0, .unit = "samples", .symbol = "m",
        .help = "sgd, adam, fcam: samples per step, drawn anew in every pass; 0: all samples")
SETTING(.name = "rate", .type = AM_SET_REAL, .offset = FIELD(rate), .fallback = "3e-3", .min = 0,
        .max = NO_LIMIT, .min_open = 1, .help = "sgd, adam: learning rate in the first step")
SETTING(.name = "schedule", .type = AM_SET_CHOICE, .offset = FIELD(schedule), .fallback = "cosine",
        .choices = schedule_names,
        .help = "sgd, adam, fcam: steps over time; cosine: to zero at the end of sweep --sweeps")
SETTING(.name = "momentum", .type = AM_SET_REAL, .offset = FIELD(momentum), .fallback = "0.9", .min = 0,
        .max = 1, .max_open = 1, .help = "sgd, fcam: share of the last step that is kept")
SETTING(.name = "beta1", .type = AM_SET_REAL, .offset = FIELD(beta1), .fallback = "0.9", .min = 0, .max = 1,
        .max_open = 1, .symbol = "beta_1", .help = "adam: decay of the mean gradient")
SETTING(.name = "beta2", .type = AM_SET_REAL, .offset = FIELD(beta2), .fallback = "0.999", .min = 0, .max = 1,
        .max_open = 1, .symbol = "beta_2", .help = "adam: decay of the mean squared gradient")
SETTING(.name = "adam-eps", .type = AM_SET_REAL, .offset = FIELD(adam_eps), .fallback = "1e-8", .min = 0,
        .max = NO_LIMIT, .min_open = 1, .symbol = "eps",
        .help = "adam: added to the root of the mean squared gradient")
