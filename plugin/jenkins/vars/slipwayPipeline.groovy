// SPDX-License-Identifier: MIT
/*
 * The whole road, from a commit to production:
 *
 *   slipwayPipeline {
 *       agent = 'unix:/run/slipway/agent.sock'
 *       submitter = 'release-team'
 *   }
 *
 * Source → Build → Test → Package → Staging → Verify staging → Release (the button; no executor is held while it
 * waits) → Production → Verify production. Options can come as a map, too: slipwayPipeline(submitter: 'release-team').
 */

def call(Closure body) {
    Map options = [env: env, params: params, currentBuild: currentBuild]

    // What is assigned in the body lands in the map; what is read there is found in it, or outside.
    body.resolveStrategy = Closure.DELEGATE_FIRST
    body.delegate = options
    body()
    options.remove('env')
    options.remove('params')
    options.remove('currentBuild')
    return call(options)
}

def call(Map options = [:]) {
    List known = ['agent', 'label', 'git', 'commit', 'ref', 'run', 'staging', 'prod', 'to', 'submitter', 'credentialsId',
                  'message', 'ok', 'valid', 'approveWithin', 'archive', 'user']
    List stages = ['build', 'test', 'package', 'deploy-staging', 'verify-staging', 'deploy-prod', 'verify-prod']
    List variables = options.agent ? ["SLIPWAY_AGENT=${options.agent}".toString()] : []
    int last = stages.size() - 1

    slipway.check(options, known)
    if (options.to) {
        last = stages.indexOf(options.to)
        if (last < 0) {
            error "slipwayPipeline: to: '${options.to}' is none of ${stages.join(', ')}"
        }
    }
    withEnv(variables) {
        Map source = toStaging(options, stages, last)

        if (last >= stages.indexOf('deploy-prod')) {
            release(options, source)
            toProduction(options, last == stages.size() - 1)
        }
    }
}

def toStaging(Map options, List stages, int last) {
    Map common = slipway.only(options, ['run', 'user'])
    Map source = slipway.only(options, ['git', 'commit', 'ref'])

    slipway.onNode(options.label) {
        if (!options.git) {
            stage('Source') {
                source = source + checkedOut(checkout(scm))
            }
        }
        stage('Build') {
            slipway.build(common + source)
        }
        if (last >= stages.indexOf('test')) {
            stage('Test') {
                slipway.test(common)
            }
        }
        if (last >= stages.indexOf('package')) {
            stage('Package') {
                slipway.pack(common + slipway.only(options, ['archive']))
            }
        }
        if (last >= stages.indexOf('deploy-staging')) {
            stage('Staging') {
                slipway.deployStaging(common + [environment: options.staging ?: 'staging'])
            }
        }
        if (last >= stages.indexOf('verify-staging')) {
            stage('Verify staging') {
                slipway.verifyStaging(common + [environment: options.staging ?: 'staging'])
            }
        }
    }
    return source
}

def release(Map options, Map source) {
    Map asked = source + [environment: options.prod ?: 'prod'] +
        slipway.only(options, ['run', 'label', 'submitter', 'credentialsId', 'message', 'ok', 'valid'])

    stage('Release') {
        if (options.approveWithin) {
            timeout(time: options.approveWithin, unit: 'HOURS') {
                slipway.approve(asked)
            }
        } else {
            slipway.approve(asked)
        }
    }
}

def toProduction(Map options, boolean isVerified) {
    Map common = slipway.only(options, ['run', 'user']) + [environment: options.prod ?: 'prod']

    slipway.onNode(options.label) {
        stage('Production') {
            slipway.deployProd(common)
        }
        if (isVerified) {
            stage('Verify production') {
                slipway.verifyProd(common)
            }
        }
    }
}

/* What the git plugin says about what it checked out; another plugin leaves a workspace to look at. */
def checkedOut(def scmVariables) {
    if (scmVariables instanceof Map && scmVariables.GIT_URL && scmVariables.GIT_COMMIT) {
        return [git: '' + scmVariables.GIT_URL, commit: '' + scmVariables.GIT_COMMIT]
    }
    return [:]
}
