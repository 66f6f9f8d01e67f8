/* Settings of the group Stream, methods that go through the samples in chunks: rows of the table in settings_table.c, which
 * says what SETTING is. */
SETTING(.name = "stream", .type = AM_SET_CHOICE, .offset = FIELD(stream), .fallback = "no",
        .choices = no_yes_names,
        .help = "mdlam, tiam, bcd, dladmm, radmm: go through the samples in chunks, lifting each anew (fcam "
                "always does)")
SETTING(.name = "eta", .type = AM_SET_REAL, .offset = FIELD(eta), .fallback = "0", .min = 0, .max = NO_LIMIT,
        .symbol = "eta",
        .help =
            "how far a weight step goes; 1: the proximal least-squares block itself; 0: chosen by the method")
SETTING(.name = "lam", .type = AM_SET_REAL, .offset = FIELD(lam), .fallback = "0", .min = 0, .max = NO_LIMIT,
        .symbol = "lam",
        .help =
            "prox weight of a weight step, in units of the mean diagonal of its Gram matrix; 0: chosen by "
            "the method")
SETTING(.name = "gam", .type = AM_SET_REAL, .offset = FIELD(gam), .fallback = "10", .min = 0, .max = NO_LIMIT,
        .min_open = 1, .takes_inf = 1, .symbol = "gam",
        .help =
            "fcam: prox weight of the activation step that passes displacements down, in units of the mean "
            "diagonal of W'W; inf: down the transposed weights, which is back-propagation of the output's "
            "displacement")
SETTING(.name = "kappa", .type = AM_SET_REAL, .offset = FIELD(kappa), .fallback = "1", .min = 0,
        .max = NO_LIMIT, .symbol = "kappa",
        .help = "length of the output block's proximal step; 0: the negative gradient of the loss")
SETTING(.name = "warm", .type = AM_SET_REAL, .offset = FIELD(warm), .fallback = "0", .min = 0, .max = 1e9,
        .unit = "chunks", .help = "chunks over which steps grow to --eta; 0: chosen by the method")
SETTING(.name = "refresh", .type = AM_SET_COUNT, .offset = FIELD(refresh), .fallback = "8", .min = 1,
        .max = 1e9, .unit = "chunks", .symbol = "T",
        .help = "how often Gram matrices and what is derived from them are brought up to date")
SETTING(.name = "forget", .type = AM_SET_REAL, .offset = FIELD(forget), .fallback = "0.95", .min = 0,
        .max = 1, .max_open = 1, .symbol = "g",
        .help = "share of the running Gram matrix that a refresh keeps; 0: the last chunk's alone")
SETTING(.name = "rank", .type = AM_SET_COUNT, .offset = FIELD(rank), .fallback = "16", .min = 0, .max = 64,
        .symbol = "q",
        .help = "leading directions in which a hidden layer's inverse Gram matrix is exact; 0: Cholesky, all")
SETTING(.name = "two-sided", .type = AM_SET_CHOICE, .offset = FIELD(two_sided), .fallback = "auto",
        .choices = header_names, .choice_first = -1,
        .help =
            "weight steps scaled by the displacements' Gram matrix from the left as well; auto: with five "
            "weight layers or more, or chunks of 1000 samples or more")
SETTING(.name = "thin", .type = AM_SET_REAL, .offset = FIELD(thin), .fallback = "0.3", .min = 0,
        .max = NO_LIMIT, .symbol = "bt",
        .help =
            "residual from which on a sample is always kept in the backward part of a chunk; samples with "
            "less are kept with less probability and more weight; 0: all are kept; cross-entropy only")
SETTING(.name = "whiten", .type = AM_SET_REAL, .offset = FIELD(whiten), .fallback = "0.97", .min = 0,
        .max = 1,
        .help = "share of the input's energy that the first layer sees, in whitened coordinates; 1: all "
                "directions; 0: not whitened, as sgd and adam do by default")
SETTING(.name = "gram-samples", .type = AM_SET_COUNT, .offset = FIELD(gram_samples), .fallback = "5000",
        .min = 0, .max = 2147483647.0, .unit = "samples",
        .help = "samples behind the input's Gram matrix; 0: all")
SETTING(.name = "boost", .type = AM_SET_REAL, .offset = FIELD(boost), .fallback = "1", .min = 0, .max = 1e6,
        .help = "with --stream: factor on the step from each layer to the one below it, as blocks shrink "
                "displacements on "
                "their way down; 0: automatic, their measured ratio to the output's")
SETTING(.name = "box", .type = AM_SET_REAL, .offset = FIELD(box), .fallback = "0.3", .min = 0,
        .max = NO_LIMIT, .min_open = 1, .symbol = "eps",
        .help = "mdlam, tiam with --stream: how far an activation may move in a chunk, in units of the "
                "layer's mean")
